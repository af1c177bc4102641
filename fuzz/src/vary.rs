//! Changes a script into another one that still makes some sense.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::script::{Act, CLIENTS, Step, parse, print};
use crate::shapes::Shapes;
use crate::values::anything;

/// A few changes at a time, so that what needs two of them is found too.
const CHANGES: u32 = 4;

/// Another script, of at most `room` bytes.
#[must_use]
pub fn vary(script: &[u8], room: usize, shapes: &Shapes, rng: &mut Rng) -> Vec<u8> {
    let mut steps = parse(script);
    for _ in 0..rng.u32(1..=CHANGES) {
        change(&mut steps, shapes, rng);
    }
    print(&steps, room)
}

/// The beginning of one script and the end of another.
#[must_use]
pub fn cross(one: &[u8], other: &[u8], room: usize, rng: &mut Rng) -> Vec<u8> {
    let (mut steps, end) = (parse(one), parse(other));
    steps.truncate(rng.usize(..=steps.len()));
    steps.extend_from_slice(&end[rng.usize(..=end.len())..]);
    print(&steps, room)
}

fn change(steps: &mut Vec<Step>, shapes: &Shapes, rng: &mut Rng) {
    let client = rng.usize(..CLIENTS).min(rng.usize(..CLIENTS));
    let (place, some) = (rng.usize(..=steps.len()), rng.usize(..steps.len().max(1)));
    match rng.u32(..16) {
        _ if steps.is_empty() => steps.extend(opening(client, rng)),
        0..=4 => steps.insert(place, Step { client, act: say(&shapes.request(rng)) }),
        5 => steps.insert(place, Step { client, act: Act::Wait }),
        6 => drop(steps.splice(place..place, opening(client, rng))),
        7 => {
            let act = match rng.u32(..3) {
                0 => Act::Leave,
                1 => Act::Vanish,
                _ => Act::Mumble(shapes.request(rng).to_string().into_bytes()[..4].to_vec()),
            };
            steps.insert(place, Step { client, act });
        }
        8 => steps.insert(place, Step { client, act: say(&unasked(rng)) }),
        9 => drop(steps.remove(some)),
        10 => steps.insert(place, steps[some].clone()),
        11 => {
            let other = rng.usize(..steps.len());
            steps.swap(some, other);
        }
        12 => steps[some].client = client,
        _ => {
            if let Act::Say(line) = &mut steps[some].act {
                match serde_json::from_slice(line) {
                    Ok(mut message) => {
                        change_inside(&mut message, shapes, rng);
                        *line = message.to_string().into_bytes();
                    }
                    Err(_) => garble(line, rng),
                }
            }
        }
    }
}

fn say(message: &Value) -> Act {
    Act::Say(message.to_string().into_bytes())
}

/// What nearly every client begins with.
fn opening(client: usize, rng: &mut Rng) -> [Step; 3] {
    let hello = json!({
        "clientInfo": { "name": "c", "version": "1" }, "capabilities": { "experimentalApi": rng.bool() },
    });
    let hello = json!({ "id": 0, "method": "initialize", "params": hello });
    let thread = json!({ "id": 1, "method": "thread/start", "params": {} });
    [say(&hello), say(&thread), Act::Wait].map(|act| Step { client, act })
}

/// What no daemon asked for.
fn unasked(rng: &mut Rng) -> Value {
    match rng.u32(..4) {
        0 => json!({ "method": "initialized" }),
        1 => json!({ "id": rng.u32(..3), "result": anything(rng) }),
        2 => json!({ "id": rng.u32(..3), "error": { "code": 1, "message": "no", "data": anything(rng) } }),
        _ => anything(rng),
    }
}

/// Puts another value somewhere inside a message.
fn change_inside(place: &mut Value, shapes: &Shapes, rng: &mut Rng) {
    let goes_on = rng.u32(..8) != 0;
    match place {
        Value::Object(members) if goes_on && !members.is_empty() => {
            let which = rng.usize(..members.len());
            members.values_mut().nth(which).into_iter().for_each(|value| change_inside(value, shapes, rng));
        }
        Value::Array(parts) if goes_on && !parts.is_empty() => {
            let which = rng.usize(..parts.len());
            change_inside(&mut parts[which], shapes, rng);
        }
        place => {
            *place = match (rng.u32(..4), &*place) {
                (0, Value::Object(_)) => shapes.request(rng)["params"].take(),
                (1, Value::String(_)) => {
                    json!(format!("${}{}", ["t", "u", "c"][rng.usize(..3)], rng.u32(..4)))
                }
                _ => anything(rng),
            };
        }
    }
}

/// Changes a byte of a line that is no JSON.
fn garble(line: &mut Vec<u8>, rng: &mut Rng) {
    let byte = rng.u8(..);
    // A line end would make two of it.
    let byte = if byte == b'\n' { b'\r' } else { byte };
    match line.len() {
        0 => line.push(byte),
        length => line[rng.usize(..length)] = byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_out_is_a_script_that_fits() {
        let (shapes, mut rng) = (Shapes::default(), Rng::with_seed(3));
        let mut script = Vec::new();
        for _ in 0..5_000 {
            let before = script.clone();
            script = vary(&script, 2_000, &shapes, &mut rng);
            script = cross(&script, &before, 2_000, &mut rng);
            assert!(script.len() <= 2_000);
            assert!(print(&parse(&script), 2_000) == script, "{}", String::from_utf8_lossy(&script));
        }
        assert_ne!(script, b"");
    }
}
