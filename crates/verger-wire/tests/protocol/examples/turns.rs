//! Turns: begun, added to, stopped.

use verger_wire::ClientRequest;
use verger_wire::requests::*;
use verger_wire::types::{ByteRange, ImageDetail, MediaSource, TextElement, UserInput};

use super::{Exchange, THREAD, TURN, ask, turn};

pub(super) fn exchanges() -> Vec<Exchange> {
    let steer = TurnSteerParams {
        thread_id: THREAD.into(),
        input: every_input(),
        expected_turn_id: TURN.into(),
        client_user_message_id: Some("note-18".into()),
    };
    let stop = TurnInterruptParams { thread_id: THREAD.into(), turn_id: TURN.into() };
    let start = TurnStartParams {
        thread_id: THREAD.into(),
        input: vec![UserInput::text("Which files changed today?")],
        ..Default::default()
    };
    vec![
        ask(3, ClientRequest::TurnStart(Box::new(start)), &TurnStartResponse { turn: turn() }),
        ask(18, ClientRequest::TurnSteer(steer), &TurnSteerResponse { turn_id: TURN.into() }),
        ask(19, ClientRequest::TurnInterrupt(stop), &Empty {}),
    ]
}

fn every_input() -> Vec<UserInput> {
    let mention =
        TextElement { byte_range: ByteRange { start: 9, end: 20 }, placeholder: Some("mill.rs".into()) };
    vec![
        UserInput::Text { text: "Compare @src/mill.rs with this".into(), text_elements: vec![mention] },
        UserInput::LocalImage { path: "/home/ada/sketch.png".into(), detail: Some(ImageDetail::High) },
        UserInput::Image {
            source: MediaSource::Url { url: "data:image/png;base64,iVBORw0K".into() },
            detail: None,
        },
        UserInput::Mention { name: "mill.rs".into(), path: "/home/ada/engine/src/mill.rs".into() },
    ]
}
