//! What a model says, as it says it.

use std::sync::Arc;
use std::time::Duration;

/// The provider's name for one piece of its answer. It means something within one stream only: a provider may use the
/// same id again in its next answer.
pub type OutputId = Arc<str>;

/// One step of an answer.
///
/// Order: for each text, `TextStarted`, one or more `TextDelta`, `TextDone`; reasoning and tool calls where the
/// provider put them; at last `Usage` (if it said) and `Completed`. After `Completed` the stream ends. `Retrying`
/// comes before anything else, for a request is never made again once part of its answer was passed on.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// A text begins. It comes with the text's first delta, so that an answer that broke off before its first word
    /// can still be asked for again.
    TextStarted {
        /// The text that begins.
        id: OutputId,
    },
    /// The next piece of a text: never empty, and never sent twice.
    TextDelta {
        /// The text it belongs to.
        id: OutputId,
        /// What to append.
        delta: String,
    },
    /// A text is whole: it is its deltas, joined. It is not repeated here, because whoever shows a text while it
    /// grows holds it already, and a long one should not be in memory twice.
    TextDone {
        /// The text that ended.
        id: OutputId,
    },
    /// The next piece of a thought, as far as the provider shows it while it grows: never empty.
    ReasoningDelta {
        /// The thought it belongs to: its [`Reasoning::id`].
        id: OutputId,
        /// Which part of it.
        part: ReasoningPart,
        /// What to append.
        delta: String,
    },
    /// The model thought, all of it, whether or not it came in pieces; give the item back as [`InputItem::Reasoning`](crate::InputItem::Reasoning) with the turn.
    ReasoningDone(Reasoning),
    /// The model wants a tool. The call is whole, but the answer may still fail behind it: run it after `Completed`.
    ToolCall {
        /// The provider's id for the call, to be repeated with its output.
        call_id: String,
        /// `mcp__SERVER`, where the provider groups functions; see [`resolve`](crate::resolve).
        namespace: Option<String>,
        /// The function.
        name: String,
        /// JSON text as the model wrote it, which is not always valid.
        arguments: String,
    },
    /// What the answer cost.
    Usage(Usage),
    /// The answer is whole. The last event.
    Completed,
    /// An attempt failed before it had said anything; the next starts after `delay`.
    Retrying {
        /// Why, fit to be shown.
        message: String,
        /// The HTTP status, where an answer came.
        status: Option<u16>,
        /// How many attempts have failed: 1 at first.
        attempt: u32,
        /// How many may fail at most, if the rest fail as this one did.
        of: u32,
        /// How long until the next one.
        delay: Duration,
    },
}

/// What a reasoning model lets us see of its thoughts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// The provider's id for the item.
    pub id: String,
    /// Paragraphs of the summary.
    pub summary: Vec<String>,
    /// The thoughts themselves, from providers that show them.
    pub content: Vec<String>,
    /// The thoughts, sealed for everyone but the provider. Without it the item cannot be given back. In Chat Completions
    /// thoughts are open: there it is the name of the field of a message that `content` came in, and goes back in.
    pub encrypted_content: Option<String>,
}

impl Reasoning {
    /// The one such field whose senders want it back, or take it: DeepSeek refuses an answer with calls without it.
    pub(crate) const OPEN: &str = "reasoning_content";

    /// Whether the thoughts are to be given back as they are.
    pub(crate) fn is_open(&self) -> bool {
        self.encrypted_content.as_deref() == Some(Self::OPEN)
    }
}

/// A part of a thought, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningPart {
    /// Of [`Reasoning::summary`].
    Summary(usize),
    /// Of [`Reasoning::content`].
    Content(usize),
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Of those, how many came from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Of those, how many were reasoning.
    pub reasoning_output_tokens: u64,
    /// Both together, as the provider counts.
    pub total_tokens: u64,
}
