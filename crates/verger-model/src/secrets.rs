//! What people must not read: taken out of what a provider says, for some repeat what they were sent.

use std::fmt;

/// Shorter values are words that any sentence may hold.
const MIN_VALUE: usize = 8;
/// A key is one however short, as long as it can be told from a letter.
const MIN_KEY: usize = 4;

/// Texts to hide, and what is written in their place. `Debug` shows neither.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    /// Longest first, so that what holds another is hidden whole.
    hidden: Vec<(String, String)>,
}

// === impl Secrets ===

impl Secrets {
    /// Hides a provider's key.
    pub(crate) fn key(&mut self, key: &str) {
        self.hide(key, MIN_KEY, "[key]");
    }

    /// Hides what a setting holds, word by word (`Bearer` is none of the secret).
    pub(crate) fn setting(&mut self, name: &str, value: &str) {
        for word in value.split_whitespace() {
            self.hide(word, MIN_VALUE, &format!("[{name}]"));
        }
    }

    /// The text without any of them.
    pub(crate) fn clean(&self, mut text: String) -> String {
        for (secret, name) in &self.hidden {
            if text.contains(secret) {
                text = text.replace(secret, name);
            }
        }
        text
    }

    fn hide(&mut self, secret: &str, least: usize, name: &str) {
        if secret.len() >= least && self.hidden.iter().all(|(known, _)| known != secret) {
            let place = self.hidden.partition_point(|(known, _)| known.len() >= secret.len());
            self.hidden.insert(place, (secret.to_owned(), name.to_owned()));
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_another_is_hidden_whole_and_short_words_stay() {
        let mut secrets = Secrets::default();
        secrets.key("sk-1234");
        secrets.key("x");
        secrets.setting("http_headers.Authorization", "Bearer sk-1234-long");
        secrets.setting("http_headers.x-team", "blue");
        let said = "Bearer sk-1234-long or sk-1234 of blue, fix it";
        assert_eq!(
            secrets.clean(said.to_owned()),
            "Bearer [http_headers.Authorization] or [key] of blue, fix it"
        );
        assert!(!format!("{secrets:?}").contains("sk-"));
    }
}
