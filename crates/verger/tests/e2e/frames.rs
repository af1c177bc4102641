//! Frames that WebSockets do not have, or hardly ever: each gets the answer of RFC 6455, and nobody else notices.

use serde_json::{Value, json};
use verger_testkit::RawSocket;

use crate::bystanders::Bystanders;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_rules_close_their_connection_with_the_reason() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let masked = |first: u8, length: u64| [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a claim of 2^62 bytes", masked(0x81, 1 << 62), 1009),
        ("a claim of one byte too many", masked(0x81, (16 << 20) + 1), 1009),
        ("bad UTF-8", vec![0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        ("no mask", b"\x81\x02{}".to_vec(), 1002),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("a reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a long ping", [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &[0; 200]].concat(), 1002),
        ("a ping in pieces", vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0], 1002),
    ];
    let before = stage.daemon.descriptors().unwrap();
    for (what, bytes, code) in cases {
        let mut raw = RawSocket::open(stage.daemon.address());
        raw.raw(&bytes);
        assert_eq!(raw.close_code(), Some(code), "{what}");
    }
    // Odd, but within the rules: binary, in pieces, with a ping in between.
    let mut raw = RawSocket::open(stage.daemon.address());
    let hello = json!({ "id": 1, "method": "initialize", "params": { "clientInfo": { "name": "r", "version": "0" } } });
    let hello = hello.to_string();
    raw.frame(0x02, b"");
    for byte in hello.as_bytes() {
        raw.frame(0x00, &[*byte]);
    }
    raw.frame(0x89, b"are you there");
    raw.frame(0x80, b"");
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.push(raw.heard().expect("both are answered"));
    }
    assert!(
        heard.iter().any(|(first, payload)| first & 15 == 10 && payload == b"are you there"),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|(first, payload)| first & 15 == 1 && payload.starts_with(b"{\"id\":1,\"result\""))
    );
    drop(raw);
    // A claim takes no memory: twenty at once.
    let rss = stage.daemon.rss().unwrap();
    let claims: Vec<RawSocket> = (0..20)
        .map(|_| {
            let mut raw = RawSocket::open(stage.daemon.address());
            raw.raw(&masked(0x81, 16 << 20));
            raw.raw(b"{\"id\":1,");
            raw
        })
        .collect();
    bystanders.notice_nothing(&stage).await;
    let grown = stage.daemon.rss().unwrap().saturating_sub(rss);
    assert!(grown < 16 << 20, "less than one of twenty claims: {grown}");
    drop(claims);
    while stage.daemon.descriptors().unwrap() > before + 3 {
        // Each turn is time enough for some of them to be closed; the test's own limit ends what never is.
        bystanders.notice_nothing(&stage).await;
    }
    drop(bystanders);
    stage.finish();
}

/// Limit of a message, in bytes.
const LARGEST: usize = 16 << 20;

fn open(stage: &Stage) -> RawSocket {
    RawSocket::open(stage.daemon.address())
}

/// A connection that has introduced itself.
fn introduced(stage: &Stage) -> RawSocket {
    let mut raw = open(stage);
    raw.frame(0x81, hello("raw").as_bytes());
    answer(&mut raw, 1);
    raw
}

fn hello(name: &str) -> String {
    let info = json!({ "name": name, "version": "0" });
    json!({ "id": 1, "method": "initialize", "params": { "clientInfo": info } }).to_string()
}

/// The answer to request `id`, past everything else.
fn answer(raw: &mut RawSocket, id: i64) -> Value {
    loop {
        let (first, payload) = raw.heard().expect("an answer");
        let message = || serde_json::from_slice::<Value>(&payload).expect("the server sends JSON");
        match first & 15 {
            1 if message()["id"] == id => return message(),
            8 => panic!("closed instead: {payload:?}"),
            _ => {}
        }
    }
}

/// Asks for what is loaded, and is answered.
fn is_served(raw: &mut RawSocket) {
    raw.frame(0x81, b"{\"id\":99,\"method\":\"thread/loaded/list\",\"params\":{}}");
    assert!(answer(raw, 99)["result"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_ten_thousand_empty_pieces_is_one_message() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let mut raw = introduced(&stage);
    let before = stage.daemon.rss().unwrap();
    for (first, rest) in [(0x01, "\"params\":{}}"), (0x02, "\"params\":{}}")] {
        raw.frame(first, b"{\"id\":2,\"method\":\"thread/loaded/list\",");
        let nothing = RawSocket::masked(0x00, b"");
        raw.raw(&nothing.repeat(10_000));
        bystanders.notice_nothing(&stage).await;
        raw.frame(0x80, rest.as_bytes());
        assert!(answer(&mut raw, 2)["result"].is_object());
    }
    // A message that is begun and never ended costs no more than it says.
    let begun: Vec<RawSocket> = (0..20)
        .map(|_| {
            let mut raw = introduced(&stage);
            raw.frame(0x01, b"{");
            raw.raw(&RawSocket::masked(0x00, b"").repeat(10_000));
            raw.frame(0x89, b"heard");
            while raw.heard().expect("a pong").0 & 15 != 10 {}
            raw
        })
        .collect();
    let grown = stage.daemon.rss().unwrap().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown}");
    bystanders.notice_nothing(&stage).await;
    drop((raw, begun, bystanders));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pings_and_takes_no_answer_is_heard_no_more_and_cut() {
    const PINGS: usize = 20_000;
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let mut flooder = introduced(&stage);
    let before = stage.daemon.rss().unwrap();
    let mut twin = flooder.twin();
    let flood = std::thread::spawn(move || {
        let ping = RawSocket::masked(0x89, &[b'p'; 125]);
        for _ in 0..PINGS / 100 {
            twin.raw(&ping.repeat(100));
        }
    });
    // What the kernels hold between them has been filled by then, and its pongs are all that the server owes.
    let _log = stage.daemon.stderr_with("did not keep up");
    let grown = stage.daemon.rss().unwrap().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown}");
    bystanders.notice_nothing(&stage).await;
    let (code, pongs) = flooder.goodbye().expect("it is told why");
    assert_eq!(code, 4408);
    assert!((1..PINGS).contains(&pongs), "it is not answered into the void: {pongs}");
    drop(flooder);
    flood.join().unwrap();
    drop(bystanders);
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pings_and_listens_is_answered_each_time() {
    let stage = Stage::bare();
    let mut raw = introduced(&stage);
    for round in 0..100 {
        for n in 0..100 {
            raw.frame(0x89, format!("{round}.{n}").as_bytes());
        }
        // Of several that wait only the last need be answered (RFC 6455, 5.5.3).
        while raw.heard().expect("a pong") != (0x8a, format!("{round}.99").into_bytes()) {}
    }
    is_served(&mut raw);
    drop(raw);
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_message_is_heard_and_a_byte_more_is_not() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let (head, tail) = ("{\"id\":2,\"method\":\"thread/loaded/list\",\"unknown\":\"", "\",\"params\":{}}");
    let sized = |size: usize| format!("{head}{}{tail}", "x".repeat(size - head.len() - tail.len()));
    let before = stage.daemon.rss().unwrap();
    let mut heard = Vec::new();
    for _ in 0..10 {
        let mut raw = introduced(&stage);
        raw.frame(0x81, sized(LARGEST).as_bytes());
        assert!(answer(&mut raw, 2)["result"].is_object());
        is_served(&mut raw);
        heard.push(raw);
    }
    // In two pieces, too, of which each would fit.
    let whole = sized(LARGEST);
    let (front, back) = whole.as_bytes().split_at(LARGEST / 2);
    heard[0].frame(0x01, front);
    heard[0].frame(0x80, back);
    assert!(answer(&mut heard[0], 2)["result"].is_object());
    bystanders.notice_nothing(&stage).await;
    let grown = stage.daemon.rss().unwrap().saturating_sub(before);

    let longer = sized(LARGEST + 1);
    let mut raw = introduced(&stage);
    raw.frame(0x81, longer.as_bytes());
    assert_eq!(raw.close_code(), Some(1009));
    let mut raw = introduced(&stage);
    let (front, back) = longer.as_bytes().split_at(LARGEST / 2);
    raw.frame(0x01, front);
    raw.frame(0x80, back);
    assert_eq!(raw.close_code(), Some(1009), "the pieces are counted together");
    bystanders.notice_nothing(&stage).await;
    // The library keeps what a connection's largest frame took, and nobody keeps more.
    assert!(grown < (heard.len() as u64 + 2) * LARGEST as u64, "{grown}");
    drop((heard, raw, bystanders));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_character_may_be_split_between_pieces_and_must_be_whole() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let name = "J\u{fc}rgen \u{20ac} \u{1f600}";
    let text = hello(name);
    // Wherever it is cut, and with an empty piece in between.
    for cut in 1..text.len() {
        if text.is_char_boundary(cut) {
            continue;
        }
        let mut raw = open(&stage);
        raw.frame(0x01, &text.as_bytes()[..cut]);
        raw.frame(0x00, b"");
        raw.frame(0x89, b"in between");
        raw.frame(0x80, &text.as_bytes()[cut..]);
        let said = answer(&mut raw, 1);
        assert!(said["result"]["userAgent"].as_str().unwrap().starts_with(name), "{cut}: {said}");
    }
    for (what, pieces) in [
        ("the second half is another's", [&b"{\"a\":\"\xe2\x82"[..], b"\xff\"}"]),
        ("no second half", [b"{\"a\":\"\xe2", b"\"}"]),
        ("the end comes first", [b"{\"a\":\"\xf0\x9f", b"\x98"]),
        ("half of a surrogate pair", [b"{\"a\":\"\xed", b"\xa0\x80\"}"]),
        ("longer than it need be", [b"{\"a\":\"\xc0", b"\x80\"}"]),
    ] {
        let mut raw = introduced(&stage);
        raw.frame(0x01, pieces[0]);
        raw.frame(0x80, pieces[1]);
        assert_eq!(raw.close_code(), Some(1007), "{what}");
    }
    // In a binary message it is the message that is wrong, and not the frame.
    let mut raw = introduced(&stage);
    raw.frame(0x02, b"{\"a\":\"\xe2");
    raw.frame(0x80, b"\"}");
    let refusal = serde_json::from_slice::<Value>(&raw.heard().unwrap().1).unwrap();
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&Value::Null, &json!(-32700)));
    is_served(&mut raw);
    bystanders.notice_nothing(&stage).await;
    drop((raw, bystanders));
    stage.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_answered_whatever_it_says() {
    let stage = Stage::lazy(&["polite"]);
    let bystanders = Bystanders::of(&stage).await;
    let long = |code: u16, length: usize| [&code.to_be_bytes()[..], &vec![b'r'; length - 2]].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("nothing", vec![], 1005),
        ("an ordinary one", long(1000, 2), 1000),
        ("one with the longest reason", long(4999, 125), 4999),
        ("half a code", vec![3], 1002),
        ("a code too small", long(0, 2), 1002),
        ("a code of nobody's", long(999, 2), 1002),
        ("a code that must not be sent: none", long(1005, 2), 1002),
        ("a code that must not be sent: abnormal", long(1006, 2), 1002),
        ("a code that must not be sent: TLS", long(1015, 2), 1002),
        ("a reserved code", long(2999, 2), 1002),
        ("a code too large", long(5000, 2), 1002),
        ("a reason that is not UTF-8", vec![0x03, 0xe8, 0xc3, 0x28], 1007),
        ("a reason that is too long", long(1000, 126), 1002),
    ];
    let before = stage.daemon.descriptors().unwrap();
    for (what, payload, code) in cases {
        let mut raw = introduced(&stage);
        raw.frame(0x88, &payload);
        assert_eq!(raw.close_code(), Some(code), "{what}");
        // The server closes first, and says nothing more.
        assert_eq!(raw.heard(), None, "{what}");
        // In two pieces it is none.
        let mut raw = introduced(&stage);
        raw.frame(0x08, &payload);
        assert_eq!(raw.close_code(), Some(1002), "{what}, in pieces");
    }
    // What comes after it is not heard.
    let mut raw = introduced(&stage);
    let start = b"{\"id\":2,\"method\":\"thread/start\",\"params\":{}}";
    raw.raw(&[RawSocket::masked(0x88, &long(1000, 2)), RawSocket::masked(0x81, start)].concat());
    assert_eq!(raw.close_code(), Some(1000));
    drop(raw);
    bystanders.notice_nothing(&stage).await;
    while stage.daemon.descriptors().unwrap() > before {
        // Each turn is time enough for some of them to be closed; the test's own limit ends what never is.
        bystanders.notice_nothing(&stage).await;
    }
    drop(bystanders);
    stage.finish();
}
