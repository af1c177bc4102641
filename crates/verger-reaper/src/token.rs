//! The random word that every process of a run carries in its environment and, cut to a number, in its limits; and how to
//! recognize it.

use std::fs::{self, File};
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

    /// What helpers are marked with: see [`verger_shim::protocol::Start::mark`]. Large enough that no person has set such a
    /// limit, and that no other run has the same.
    pub(crate) fn mark(&self) -> u64 {
        u64::from_str_radix(&self.0[..15], 16).unwrap_or(0) | 1 << 60
    }

    /// Whether process `pid` is marked, or has the token in the environment it was executed with. False for zombies, which
    /// have neither; and for those that changed both, which asks for privileges.
    pub(crate) fn is_carried_by(&self, pid: u32) -> bool {
        let limits = fs::read(format!("/proc/{pid}/limits")).unwrap_or_default();
        let wanted = format!("{TOKEN_VARIABLE}={}", self.0);
        // The environment cannot be read of processes of other users, and of those that do not let themselves be dumped.
        hard_locks(&limits) == Some(self.mark())
            || read_environ(pid).is_ok_and(|all| all.split(|&b| b == 0).any(|one| one == wanted.as_bytes()))
    }
}

/// The hard limit of "Max file locks", whose columns are: name, soft limit, hard limit, units.
fn hard_locks(limits: &[u8]) -> Option<u64> {
    let line = limits.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Max file locks"))?;
    std::str::from_utf8(line).ok()?.split_whitespace().nth(1)?.parse().ok()
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
        assert_ne!(Token::random().unwrap().mark(), token.mark());
    }

    #[test]
    fn a_mark_is_read_where_limits_say_it() {
        let line = |hard: &str| format!("Max locked memory  8 9 bytes\nMax file locks  7  {hard}  locks\n");
        assert_eq!(hard_locks(line("1152921504606846977").as_bytes()), Some((1 << 60) + 1));
        assert_eq!(hard_locks(line("unlimited").as_bytes()), None);
        assert_eq!(hard_locks(b""), None);
    }
}
