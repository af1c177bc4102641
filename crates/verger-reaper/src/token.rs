//! The random word that every process of a run carries in its environment, and how to recognize it.

use std::fs::File;
use std::io::{self, Read};

use crate::ReaperError;

/// The environment variable that holds the token.
pub const TOKEN_VARIABLE: &str = "VERGER_RUN_TOKEN";

/// How much of an environment is looked at.
const MAX_ENVIRON: u64 = 8 << 20;

/// 32 random bytes in hex: nobody else has this one, by accident or by guessing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    const LEN: usize = 64;

    pub(crate) fn random() -> Result<Self, ReaperError> {
        let mut bytes = [0; Self::LEN / 2];
        getrandom::fill(&mut bytes).map_err(ReaperError::Random)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// From a file that an earlier run wrote; `None` if it did not get that far.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == Self::LEN && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether process `pid` has the token in the environment it was executed with. False for zombies, which have
    /// none, for processes of other users, and for those that changed their environment on exec.
    pub(crate) fn is_carried_by(&self, pid: u32) -> bool {
        let wanted = format!("{TOKEN_VARIABLE}={}", self.0);
        match read_environ(pid) {
            Ok(environ) => environ.split(|&b| b == 0).any(|entry| entry == wanted.as_bytes()),
            Err(_) => false,
        }
    }
}

fn read_environ(pid: u32) -> io::Result<Vec<u8>> {
    let mut environ = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(MAX_ENVIRON).read_to_end(&mut environ)?;
    Ok(environ)
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever knows it can pose as ours and be killed by the next sweep; no reason to log it.
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_is_one() {
        let token = Token::random().unwrap();
        assert_eq!(Token::parse(token.as_str()), Some(token.clone()));
        assert_eq!(Token::parse(&token.as_str()[1..]), None);
        assert_eq!(Token::parse(&"G".repeat(64)), None);
        assert_ne!(Token::random().unwrap(), token);
    }
}
