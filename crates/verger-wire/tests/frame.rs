//! Frames in: every kind is told apart, and nothing a client sends does harm.

use verger_wire::{
    Fault, Incoming, MAX_DEPTH, MAX_ID_BYTES, RequestId, RpcError, code, decode, decode_bytes,
};

/// What became of a frame, in a form that reads well in an assertion.
fn check(frame: &str) -> String {
    let raw = |params: &Option<Box<serde_json::value::RawValue>>| {
        params.as_ref().map_or_else(|| "-".to_owned(), |raw| raw.get().to_owned())
    };
    match decode(frame) {
        Ok(Incoming::Request { id, method, params }) => format!("request {id} {method} {}", raw(&params)),
        Ok(Incoming::Notification { method, params }) => format!("notification {method} {}", raw(&params)),
        Ok(Incoming::Response { id, result }) => format!("response {id} {}", result.get()),
        Ok(Incoming::Error { id, error }) => format!("error {id} {error}"),
        Err(fault) => format!("refused, {}", fault.reply()),
    }
}

#[test]
fn the_four_kinds_are_told_apart() {
    assert_eq!(check(r#"{"id":1,"method":"m","params":{"a":[1]}}"#), r#"request 1 m {"a":[1]}"#);
    assert_eq!(check(r#"{"jsonrpc":"2.0","id":"x","method":"m","trace":{}}"#), r#"request "x" m -"#);
    assert_eq!(check(r#"{"method":"initialized"}"#), "notification initialized -");
    assert_eq!(check(r#"{"id":0,"result":{"action":"accept"}}"#), r#"response 0 {"action":"accept"}"#);
    assert_eq!(check(r#"{"id":0,"error":{"code":7,"message":"no"}}"#), "error 0 no (7)");
}

#[test]
fn what_members_of_other_names_hold_is_nobodys_business() {
    for other in [
        r#""jsonrpc":"1.0""#,
        r#""jsonrpc":null"#,
        r#""trace":"\ud800""#,
        r#""trace":{"a":["\udc00\ud800"]}"#,
    ] {
        assert_eq!(check(&format!(r#"{{{other},"id":1,"method":"m"}}"#)), "request 1 m -", "{other}");
    }
    let half = r#"{"id":1,"method":"\ud800"}"#;
    assert!(check(half).contains("`method` is not a string"), "{}", check(half));
}

#[test]
fn null_params_are_none_but_a_null_result_is_an_answer() {
    assert_eq!(check(r#"{"id":1,"method":"m","params":null}"#), "request 1 m -");
    assert_eq!(check(r#"{"id":1,"result":null}"#), "response 1 null");
}

#[test]
fn what_is_not_json_is_a_parse_error_without_id() {
    for frame in ["", "not json", "[1,", "[1] 2", r#"{"id":1,"method":"m""#, "{\"id\":1}{", "\u{feff}{}"] {
        let error = decode(frame).unwrap_err();
        assert_eq!(
            (error.id.clone(), RpcError::from(&error.fault).code),
            (None, code::PARSE_ERROR),
            "{frame}"
        );
        assert!(error.reply().ends_with(r#""id":null}"#), "{}", error.reply());
    }
    let error = decode_bytes(b"{\"id\":1,\"method\":\"\xff\"}").unwrap_err();
    assert_eq!(error.fault, Fault::NotUtf8(18));
    assert_eq!(RpcError::from(&error.fault).code, code::PARSE_ERROR);
}

#[test]
fn what_is_json_but_no_message_keeps_the_id_it_has() {
    let refused = |frame: &str, id: Option<RequestId>, why: &str| {
        let error = decode(frame).unwrap_err();
        assert_eq!(error.id, id, "{frame}");
        let error = RpcError::from(&error.fault);
        assert_eq!(error.code, code::INVALID_REQUEST, "{frame}");
        assert!(error.message.contains(why), "{frame}: {}", error.message);
    };
    refused(r#"{"id":77}"#, Some(77.into()), "no `method`");
    refused(r#"{"id":"a","method":5}"#, Some("a".into()), "`method` is not a string");
    refused(r#"{"id":1.5,"method":"m"}"#, None, "`id`");
    refused(r#"{"id":null,"method":"m"}"#, None, "`id`");
    refused(r#"{"id":[1],"method":"m"}"#, None, "`id`");
    refused(r#"{"id":99999999999999999999,"method":"m"}"#, None, "`id`");
    refused("[]", None, "batches");
    refused(" \n[1,\"m\"]", None, "batches");
    refused("[{\"id\":1,\"method\":\"m\"}]", None, "batches");
    refused("5", None, "invalid type");
    refused("null", None, "invalid type");
    refused(r#"{"result":1}"#, None, "without `id`");
}

#[test]
fn a_malformed_answer_is_not_refused_under_the_servers_own_id() {
    for frame in [r#"{"id":3,"error":5}"#, r#"{"id":3,"result":1,"error":{"code":1,"message":""}}"#] {
        assert_eq!(decode(frame).unwrap_err().id, None, "{frame}");
    }
}

#[test]
fn a_second_id_or_method_is_refused() {
    for frame in [
        r#"{"id":1,"method":"m","id":2}"#,
        r#"{"method":"m","id":1,"method":"n"}"#,
        r#"{"id":1,"method":"m","\u0069d":2}"#,
    ] {
        let error = decode(frame).unwrap_err();
        assert!(matches!(&error.fault, Fault::NotAMessage(why) if why.contains("duplicate")), "{error}");
    }
}

#[test]
fn a_huge_id_is_neither_kept_nor_echoed() {
    let fits = "x".repeat(MAX_ID_BYTES - 2);
    assert!(decode(&format!(r#"{{"id":"{fits}","method":"m"}}"#)).is_ok());
    let huge = "x".repeat(1 << 20);
    let error = decode(&format!(r#"{{"id":"{huge}","method":"m"}}"#)).unwrap_err();
    assert!(error.reply().len() < 200, "{} bytes", error.reply().len());
    let error = decode(&format!(r#"{{"id":1,"error":"{huge}"}}"#)).unwrap_err();
    assert!(error.reply().len() < 700, "{} bytes", error.reply().len());
}

#[test]
fn a_huge_method_is_not_echoed_in_full() {
    let error = RpcError::method_not_found(&"é".repeat(1 << 20));
    assert!(error.message.len() < 400, "{} bytes", error.message.len());
}

#[test]
fn nesting_is_limited_where_a_parser_would_still_follow() {
    let nested = |levels: usize| {
        format!(r#"{{"id":1,"method":"m","params":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert!(decode(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(decode(&nested(MAX_DEPTH)).unwrap_err().fault, Fault::TooDeep);
    // Far deeper than the stack of any thread.
    assert_eq!(decode(&"[".repeat(10_000_000)).unwrap_err().fault, Fault::TooDeep);
    // Brackets in a string, after an escaped quote, are no nesting.
    let text = format!(r#"{{"method":"m","params":"\"{}\\"}}"#, "[".repeat(1000));
    assert!(decode(&text).is_ok());
}

#[test]
fn what_came_in_at_the_limit_can_be_stored_and_read_again() {
    // The deepest wrapping there is: reply > result > thread > turns > turn > items > item > arguments.
    let params = format!("{}{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    let frame = format!(r#"{{"id":1,"method":"m","params":{params}}}"#);
    let Ok(Incoming::Request { params: Some(params), .. }) = decode(&frame) else { panic!("refused") };
    let wrapped =
        format!(r#"{{"result":{{"thread":{{"turns":[{{"items":[{{"arguments":{params}}}]}}]}}}}}}"#);
    serde_json::from_str::<serde_json::Value>(&wrapped).expect("still within the parser's own limit");
}
