//! The one long message: everything a helper needs to be born.

use std::ffi::{CStr, CString};
use std::time::Duration;

use super::{Fields, MAX_START, PREFIX, ProtocolError};

/// How long each step of an orderly end may take. What is left after the last step is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// After its stdin was closed, for the tree to leave by itself. 500 ms by default.
    pub stdin: Duration,
    /// After SIGTERM to every process of the tree. 1.5 s by default.
    pub term: Duration,
    /// After the leader's exit, for the rest to leave by itself. What remains then are strays. 50 ms by default.
    pub leave: Duration,
}

impl Default for Graces {
    fn default() -> Self {
        Self {
            stdin: Duration::from_millis(500),
            term: Duration::from_millis(1500),
            leave: Duration::from_millis(50),
        }
    }
}

/// What to execute and how. The helper gets exactly this environment and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Absolute path of the program.
    pub program: CString,
    /// Arguments, the program's own name first.
    pub argv: Vec<CString>,
    /// The whole environment as `KEY=value`.
    pub envp: Vec<CString>,
    /// Working directory; the owner's if `None`.
    pub cwd: Option<CString>,
    /// How long an orderly end may take.
    pub graces: Graces,
    /// Soft RLIMIT_NOFILE of the helper; left alone if `None`.
    pub nofile: Option<u64>,
    /// Hard and soft RLIMIT_LOCKS of the helper, a limit that Linux keeps and has not enforced since 2.4: whoever descends
    /// from the helper inherits it, and no change of environment, session or parent takes it away. An owner may look for
    /// it in `/proc/PID/limits`. It is no secret: anyone may read it there. Left alone if `None`.
    pub mark: Option<u64>,
    /// Whether a fourth descriptor follows: the cgroup directory to be born in.
    pub cgroup: bool,
    /// Whether the helper lives in a PID namespace of its own, which excludes a cgroup.
    pub pidns: bool,
}

impl Start {
    pub(super) const KIND: u8 = 1;

    /// The whole frame. Fails with [`ProtocolError::Length`] when arguments and environment pass [`MAX_START`].
    pub fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut out = vec![0; PREFIX];
        out.push(Self::KIND);
        for grace in [self.graces.stdin, self.graces.term, self.graces.leave] {
            let micros = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
            out.extend_from_slice(&micros.to_le_bytes());
        }
        out.push(u8::from(self.nofile.is_some()));
        out.extend_from_slice(&self.nofile.unwrap_or(0).to_le_bytes());
        out.push(u8::from(self.mark.is_some()));
        out.extend_from_slice(&self.mark.unwrap_or(0).to_le_bytes());
        out.push(u8::from(self.cgroup));
        out.push(u8::from(self.pidns));
        out.push(u8::from(self.cwd.is_some()));
        put_str(&mut out, self.cwd.as_deref().unwrap_or_default())?;
        put_str(&mut out, &self.program)?;
        for list in [&self.argv, &self.envp] {
            let count = u32::try_from(list.len()).map_err(|_| ProtocolError::Length(list.len()))?;
            out.extend_from_slice(&count.to_le_bytes());
            for item in list {
                put_str(&mut out, item)?;
            }
        }
        let len = out.len() - PREFIX;
        match u32::try_from(len) {
            Ok(prefix) if len <= MAX_START => {
                out[..PREFIX].copy_from_slice(&prefix.to_le_bytes());
                Ok(out)
            }
            _ => Err(ProtocolError::Length(len)),
        }
    }

    /// The message of a frame whose length prefix was taken off.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields(frame);
        let kind = fields.u8()?;
        if kind != Self::KIND {
            return Err(ProtocolError::Kind(kind));
        }
        let mut grace = || fields.u64().map(Duration::from_micros);
        let graces = Graces { stdin: grace()?, term: grace()?, leave: grace()? };
        let nofile = optional(fields.u8()?, fields.u64()?)?;
        let mark = optional(fields.u8()?, fields.u64()?)?;
        let cgroup = optional(fields.u8()?, ())?.is_some();
        let pidns = optional(fields.u8()?, ())?.is_some();
        let has_cwd = fields.u8()?;
        let cwd = optional(has_cwd, get_str(&mut fields)?)?;
        let program = get_str(&mut fields)?;
        let argv = get_list(&mut fields)?;
        let envp = get_list(&mut fields)?;
        fields.end()?;
        if !program.as_bytes().starts_with(b"/") || argv.is_empty() || cgroup && pidns {
            return Err(ProtocolError::Fields);
        }
        Ok(Self { program, argv, envp, cwd, graces, nofile, mark, cgroup, pidns })
    }
}

fn optional<T>(flag: u8, value: T) -> Result<Option<T>, ProtocolError> {
    match flag {
        0 => Ok(None),
        1 => Ok(Some(value)),
        _ => Err(ProtocolError::Fields),
    }
}

fn put_str(out: &mut Vec<u8>, text: &CStr) -> Result<(), ProtocolError> {
    let bytes = text.to_bytes();
    let len = u32::try_from(bytes.len()).map_err(|_| ProtocolError::Length(bytes.len()))?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn get_str(fields: &mut Fields<'_>) -> Result<CString, ProtocolError> {
    let len = fields.u32()? as usize;
    CString::new(fields.bytes(len)?).map_err(|_| ProtocolError::Fields)
}

fn get_list(fields: &mut Fields<'_>) -> Result<Vec<CString>, ProtocolError> {
    let count = fields.u32()? as usize;
    // Not `with_capacity(count)`: the count is the peer's word, the bytes behind it are not.
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(get_str(fields)?);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Start {
        let text = |s: &str| CString::new(s).unwrap();
        Start {
            program: text("/bin/sh"),
            argv: vec![text("sh"), text("-c"), text("")],
            envp: vec![text("A=1")],
            cwd: Some(text("/")),
            graces: Graces::default(),
            nofile: Some(1024),
            mark: Some(1 << 50),
            cgroup: true,
            pidns: false,
        }
    }

    #[test]
    fn start_survives_the_way_there() {
        let bare = Start {
            cwd: None,
            nofile: None,
            mark: None,
            cgroup: false,
            pidns: true,
            envp: vec![],
            ..sample()
        };
        for start in [sample(), bare] {
            let frame = start.encode().unwrap();
            let len = u32::from_le_bytes(frame[..PREFIX].try_into().unwrap()) as usize;
            assert_eq!(len, frame.len() - PREFIX);
            assert_eq!(Start::decode(&frame[PREFIX..]), Ok(start));
        }
    }

    #[test]
    fn every_truncation_and_every_addition_is_refused() {
        let frame = sample().encode().unwrap();
        let body = &frame[PREFIX..];
        for cut in 0..body.len() {
            assert!(Start::decode(&body[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [body, &[0]].concat();
        assert_eq!(Start::decode(&longer), Err(ProtocolError::Fields));
    }

    #[test]
    fn a_forged_count_allocates_nothing_and_fails() {
        let mut start = sample();
        start.envp.clear();
        let mut body = start.encode().unwrap()[PREFIX..].to_vec();
        let end = body.len();
        body[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Start::decode(&body), Err(ProtocolError::Fields));
    }

    #[test]
    fn too_long_an_environment_is_refused_before_it_is_sent() {
        let big = CString::new(vec![b'x'; MAX_START]).unwrap();
        let start = Start { envp: vec![big], ..sample() };
        assert!(matches!(start.encode(), Err(ProtocolError::Length(_))));
    }

    #[test]
    fn a_relative_program_no_argv_or_two_ways_of_containment_are_refused() {
        let relative = Start { program: CString::new("sh").unwrap(), ..sample() };
        let nameless = Start { argv: vec![], ..sample() };
        let twofold = Start { cgroup: true, pidns: true, ..sample() };
        for bad in [relative, nameless, twofold] {
            assert_eq!(Start::decode(&bad.encode().unwrap()[PREFIX..]), Err(ProtocolError::Fields));
        }
    }
}
