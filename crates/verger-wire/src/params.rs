//! Parameters into types, and the path of the field that does not fit.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::RpcError;

/// Missing parameters count as `{}`, so that the error names the first field that is missing.
pub(crate) fn decode<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, RpcError> {
    let text = params.map_or("{}", RawValue::get);
    // serde would also fill a struct from an array, by position.
    if !text.starts_with('{') {
        return Err(RpcError::invalid_params("", "expected an object"));
    }
    // The path costs time to track: only those who err pay for it.
    serde_json::from_str(text).map_err(|_| explain::<T>(text))
}

fn explain<T: DeserializeOwned>(text: &str) -> RpcError {
    let mut source = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut source) {
        // The same text failed the same parser a moment ago.
        Ok(_) => RpcError::invalid_params("", "not understood"),
        Err(cause) => {
            let path = match cause.path().to_string().as_str() {
                "." => String::new(),
                path => path.to_owned(),
            };
            describe(&path, &cause.into_inner().to_string())
        }
    }
}

/// ``missing field `x` at line 1 column 2`` under path `a` becomes `a.x: missing field`.
fn describe(path: &str, cause: &str) -> RpcError {
    // A position in a text that people never see helps nobody.
    let why = cause.rsplit_once(" at line ").map_or(cause, |(why, _)| why);
    let Some(field) = why.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) else {
        return RpcError::invalid_params(path, why);
    };
    let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    RpcError::invalid_params(&path, "missing field")
}
