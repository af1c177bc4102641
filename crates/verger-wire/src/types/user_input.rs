//! What a user says: text, pictures, sound, and pointers to skills and files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One piece of a user's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum UserInput {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// Spans of `text` that the client draws in its own way.
        #[serde(default)]
        text_elements: Vec<TextElement>,
    },
    /// A picture somewhere else.
    Image {
        /// Where.
        #[serde(flatten)]
        source: MediaSource,
        /// How closely the model looks.
        #[serde(default)]
        #[ts(optional = nullable)]
        detail: Option<ImageDetail>,
    },
    /// A picture on the server's machine.
    LocalImage {
        /// Where.
        path: String,
        /// How closely the model looks.
        #[serde(default)]
        #[ts(optional = nullable)]
        detail: Option<ImageDetail>,
    },
    /// Sound somewhere else.
    Audio {
        /// Where.
        #[serde(flatten)]
        source: MediaSource,
    },
    /// Sound on the server's machine.
    LocalAudio {
        /// Where.
        path: String,
    },
    /// A skill to use.
    Skill {
        /// Its name.
        name: String,
        /// Its file.
        path: String,
    },
    /// A file or app that the text mentions.
    Mention {
        /// Its name.
        name: String,
        /// Where it is.
        path: String,
    },
}

/// Where a picture or sound is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum MediaSource {
    /// On the web, or in the URL itself (`data:`).
    Url {
        /// The address.
        url: String,
    },
    /// With the provider.
    FileId {
        /// The provider's name for it.
        file_id: String,
    },
}

/// How closely the model looks at a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
pub enum ImageDetail {
    /// As it likes.
    Auto,
    /// Coarsely.
    Low,
    /// Finely.
    High,
    /// Pixel by pixel.
    Original,
}

/// A span of text that the client draws in its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct TextElement {
    /// The span.
    pub byte_range: ByteRange,
    /// What to draw.
    #[serde(default)]
    pub placeholder: Option<String>,
}

/// `start..end` in bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TS)]
pub struct ByteRange {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

// === impl UserInput ===

impl UserInput {
    /// Words without spans.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), text_elements: Vec::new() }
    }
}
