//! Which request an answer that was too long to read belongs to.
//!
//! Its caller should hear "too large" now rather than time out later. Only the two ends of the line are known, so
//! only two shapes are recognised, both certain: `{"jsonrpc":"2.0","id":N,` at the head, as Python's SDK writes,
//! and `"id":N}` at the very end, as TypeScript's does. Elsewhere an `"id"` may be part of the result.

/// The id of the answer that begins with `head` and ends with `tail`, if that is certain.
pub(crate) fn answer_id(head: &[u8], tail: &[u8]) -> Option<u64> {
    id_at_head(head).or_else(|| id_at_tail(tail))
}

fn id_at_head(head: &[u8]) -> Option<u64> {
    let rest = token(head, b"{")?;
    let rest =
        ["\"jsonrpc\"", ":", "\"2.0\"", ","].iter().try_fold(rest, |rest, part| token(rest, part.as_bytes()));
    let rest = token(token(rest.or_else(|| token(head, b"{"))?, b"\"id\"")?, b":")?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // A number cut off by the end of what is known is not a known number.
    (digits < rest.len()).then(|| number(&rest[..digits]))?
}

fn id_at_tail(tail: &[u8]) -> Option<u64> {
    let rest = tail.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, digits) = rest.split_at(rest.len() - digits);
    let rest = rest.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"id\"")?;
    // Otherwise this is the end of a longer member name, with an escaped quote in it.
    matches!(rest.last()?, b',' | b'{' | b' ').then(|| number(digits))?
}

fn token<'a>(text: &'a [u8], token: &[u8]) -> Option<&'a [u8]> {
    text.trim_ascii_start().strip_prefix(token)
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::answer_id;

    #[test]
    fn only_certain_ids_are_taken() {
        let cases: [(&str, &str, Option<u64>); 10] = [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"#, "...", Some(7)),
            (r#" { "jsonrpc": "2.0", "id": 7, "result"#, "...", Some(7)),
            (r#"{"id":7,"jsonrpc":"2.0","#, "...", Some(7)),
            (r#"{"jsonrpc":"2.0","id":7"#, "...", None),
            (r#"{"result":{"id":7,"#, r#"}]},"jsonrpc":"2.0","id":12}"#, Some(12)),
            (r#"{"result":{"id":7,"#, r#"}]}, "jsonrpc": "2.0", "id": 12 }"#, Some(12)),
            (r#"{"result":{"id":7,"#, r#""id":12}}"#, None),
            (r#"{"result":{"#, r#""x\"id":12}"#, None),
            (r#"{"result":{"#, r#","id":"12"}"#, None),
            ("xxxxxx", "xxxxxx", None),
        ];
        for (head, tail, id) in cases {
            assert_eq!(answer_id(head.as_bytes(), tail.as_bytes()), id, "{head} {tail}");
        }
    }
}
