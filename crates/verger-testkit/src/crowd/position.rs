//! Where a notification stands in its thread's stream: the `_stream` of its parameters.

use serde_json::Value;

/// A place in a thread's log that a client can resume from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cursor {
    /// The log's lineage, as the server names it.
    pub epoch: Value,
    /// The number of the last record that the client was told.
    pub seq: u64,
}

/// What `_stream` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Position {
    /// The notification tells this record, and nothing else does after it.
    Durable { cursor: Cursor, generation: u64 },
    /// It tells what is kept nowhere yet: a piece of this item's text from byte `off` on.
    InFlight { off: usize, generation: u64 },
}

// === impl Cursor ===

impl Cursor {
    /// The `since` of `thread/resume`.
    #[must_use]
    pub(super) fn since(&self) -> Value {
        serde_json::json!({ "logEpoch": self.epoch, "seq": self.seq })
    }
}

// === impl Position ===

impl Position {
    /// Of the notification with these parameters; nothing where it belongs to no stream.
    ///
    /// # Errors
    ///
    /// What is wrong with a position that is none.
    pub(super) fn of(params: &Value) -> Result<Option<Self>, String> {
        let Some(stream) = params.get("_stream") else { return Ok(None) };
        let number =
            |name: &str| stream[name].as_u64().ok_or_else(|| format!("_stream without {name}: {stream}"));
        let generation = number("gen")?;
        if stream.get("seq").is_some() {
            let epoch = stream.get("logEpoch").filter(|epoch| !epoch.is_null());
            let epoch = epoch.ok_or_else(|| format!("_stream without logEpoch: {stream}"))?.clone();
            return Ok(Some(Self::Durable { cursor: Cursor { epoch, seq: number("seq")? }, generation }));
        }
        let off = usize::try_from(number("off")?).map_err(|_| format!("_stream too far off: {stream}"))?;
        let item = params.get("itemId").unwrap_or(&params["item"]["id"]);
        if stream["itemId"] != *item {
            return Err(format!("_stream of another item than {item}: {stream}"));
        }
        Ok(Some(Self::InFlight { off, generation }))
    }
}
