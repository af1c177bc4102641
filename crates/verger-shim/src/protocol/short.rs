//! The short messages, and the buffer that cuts a byte stream into them without allocating.

use super::{Fields, MAX_SHORT, PREFIX, ProtocolError};

/// How to end a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The owner has closed the helper's stdin; wait, TERM, wait, KILL, as [`Graces`](super::Graces) say.
    Orderly,
    /// KILL everything now. Cuts an orderly stop short.
    Kill,
}

/// What the owner tells a shim after `Start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The helper's pid is registered: execute it.
    Go,
    /// End it.
    Stop(Stop),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// Where the start of a helper failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The shim itself: EBUSY says that its process had threads already, so that it cannot be one.
    Setup,
    /// Its pipes for stdin, stdout and stderr.
    Stdio,
    /// The process itself (limits on processes or memory).
    Fork,
    /// The working directory.
    Chdir,
    /// `execve`.
    Exec,
    /// Its PID namespace: EPERM where neither the privilege nor user namespaces are to be had.
    Namespace,
    /// The same user and group in the user namespace around it.
    Identity,
    /// Its own `/proc`.
    Proc,
}

/// A process that outlived its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its pid when it was found. It is killed in the next moment: good for a log, for nothing else.
    pub pid: u32,
    /// Its name as the kernel keeps it, padded with zeros.
    pub comm: [u8; 16],
}

impl Stray {
    /// The name as text.
    pub fn name(&self) -> String {
        let end = self.comm.iter().position(|&b| b == 0).unwrap_or(self.comm.len());
        String::from_utf8_lossy(&self.comm[..end]).into_owned()
    }
}

/// What a shim tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The helper's process exists and waits for `Go`.
    Forked {
        /// Its pid.
        pid: u32,
        /// 0, or why it could not be born in the cgroup that was given; then it lives outside.
        cgroup_errno: i32,
    },
    /// The helper's program was executed.
    Running,
    /// It was not. Nothing is left of the attempt; `Empty` follows.
    ExecFailed {
        /// Where it failed.
        stage: Stage,
        /// Why.
        errno: i32,
    },
    /// The leader has exited; what it left has [`Graces::leave`](super::Graces::leave).
    LeaderExited(Exit),
    /// One of the first few strays that are killed now.
    Stray(Stray),
    /// ECHILD: no descendant is left. The shim's last word.
    Empty {
        /// How the leader ended, if it was ever started.
        exit: Option<Exit>,
        /// How many processes were strays.
        strays: u32,
    },
}

/// An encoded short message.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    bytes: [u8; PREFIX + MAX_SHORT],
    len: usize,
}

impl Frame {
    fn new(kind: u8) -> Self {
        let mut frame = Self { bytes: [0; PREFIX + MAX_SHORT], len: PREFIX };
        frame.put(&[kind]);
        frame
    }

    fn put(&mut self, field: &[u8]) {
        self.bytes[self.len..self.len + field.len()].copy_from_slice(field);
        self.len += field.len();
        let len = (self.len - PREFIX) as u32;
        self.bytes[..PREFIX].copy_from_slice(&len.to_le_bytes());
    }

    fn exit(mut self, exit: Exit) -> Self {
        let (how, value) = match exit {
            Exit::Code(code) => (0, code),
            Exit::Signal(signal) => (1, signal),
        };
        self.put(&[how]);
        self.put(&value.to_le_bytes());
        self
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Order {
    /// The message as bytes.
    pub fn encode(self) -> Frame {
        Frame::new(match self {
            Self::Go => 2,
            Self::Stop(Stop::Orderly) => 3,
            Self::Stop(Stop::Kill) => 4,
        })
    }

    /// The message of a frame whose length prefix was taken off.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields(frame);
        let order = match fields.u8()? {
            2 => Self::Go,
            3 => Self::Stop(Stop::Orderly),
            4 => Self::Stop(Stop::Kill),
            kind => return Err(ProtocolError::Kind(kind)),
        };
        fields.end().map(|()| order)
    }
}

impl Report {
    /// The message as bytes.
    pub fn encode(self) -> Frame {
        match self {
            Self::Forked { pid, cgroup_errno } => {
                let mut frame = Frame::new(16);
                frame.put(&pid.to_le_bytes());
                frame.put(&cgroup_errno.to_le_bytes());
                frame
            }
            Self::Running => Frame::new(17),
            Self::ExecFailed { stage, errno } => {
                let mut frame = Frame::new(18);
                frame.put(&[stage.code()]);
                frame.put(&errno.to_le_bytes());
                frame
            }
            Self::LeaderExited(exit) => Frame::new(19).exit(exit),
            Self::Stray(stray) => {
                let mut frame = Frame::new(20);
                frame.put(&stray.pid.to_le_bytes());
                frame.put(&stray.comm);
                frame
            }
            Self::Empty { exit, strays } => {
                let mut frame = Frame::new(if exit.is_some() { 21 } else { 22 });
                frame.put(&strays.to_le_bytes());
                match exit {
                    Some(exit) => frame.exit(exit),
                    None => frame,
                }
            }
        }
    }

    /// The message of a frame whose length prefix was taken off.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields(frame);
        let report = match fields.u8()? {
            16 => match (fields.u32()?, fields.i32()?) {
                (0, _) => return Err(ProtocolError::Fields),
                (pid, cgroup_errno) => Self::Forked { pid, cgroup_errno },
            },
            17 => Self::Running,
            18 => Self::ExecFailed { stage: Stage::from_code(fields.u8()?)?, errno: fields.i32()? },
            19 => Self::LeaderExited(exit(&mut fields)?),
            20 => Self::Stray(Stray { pid: fields.u32()?, comm: fields.array()? }),
            21 => {
                let strays = fields.u32()?;
                Self::Empty { exit: Some(exit(&mut fields)?), strays }
            }
            22 => Self::Empty { exit: None, strays: fields.u32()? },
            kind => return Err(ProtocolError::Kind(kind)),
        };
        fields.end().map(|()| report)
    }
}

fn exit(fields: &mut Fields<'_>) -> Result<Exit, ProtocolError> {
    match (fields.u8()?, fields.i32()?) {
        (0, code) => Ok(Exit::Code(code)),
        (1, signal) => Ok(Exit::Signal(signal)),
        _ => Err(ProtocolError::Fields),
    }
}

impl Stage {
    const ALL: [Self; 8] = [
        Self::Setup,
        Self::Stdio,
        Self::Fork,
        Self::Chdir,
        Self::Exec,
        Self::Namespace,
        Self::Identity,
        Self::Proc,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, ProtocolError> {
        Self::ALL.get(usize::from(code)).copied().ok_or(ProtocolError::Fields)
    }
}

/// Cuts a byte stream into short frames. Holds two frames at most: the reader takes them out before it reads on.
#[derive(Debug)]
pub struct Inbox {
    bytes: [u8; 2 * (PREFIX + MAX_SHORT)],
    from: usize,
    to: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: [0; 2 * (PREFIX + MAX_SHORT)], from: 0, to: 0 }
    }
}

impl Inbox {
    /// Room for what is read next. Never empty once [`next_frame`](Self::next_frame) has answered `None`.
    pub fn space(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        &mut self.bytes[self.to..]
    }

    /// Says that `read` bytes were put into [`space`](Self::space).
    pub fn filled(&mut self, read: usize) {
        self.to = (self.to + read).min(self.bytes.len());
    }

    /// The next whole frame without its prefix, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let Some((prefix, rest)) = self.bytes[self.from..self.to].split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len == 0 || len > MAX_SHORT {
            return Err(ProtocolError::Length(len));
        }
        match rest.get(..len) {
            Some(frame) => {
                self.from += PREFIX + len;
                Ok(Some(frame))
            }
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Vec<Report> {
        let mut comm = [0; 16];
        comm[..3].copy_from_slice(b"npx");
        let mut all = vec![
            Report::Forked { pid: 7, cgroup_errno: 13 },
            Report::Running,
            Report::LeaderExited(Exit::Code(3)),
            Report::Stray(Stray { pid: 9, comm }),
            Report::Empty { exit: None, strays: 0 },
            Report::Empty { exit: Some(Exit::Signal(9)), strays: 2 },
        ];
        all.extend(Stage::ALL.map(|stage| Report::ExecFailed { stage, errno: 2 }));
        all
    }

    #[test]
    fn messages_survive_any_cutting_of_the_stream() {
        let stream: Vec<u8> = reports().iter().flat_map(|r| r.encode().as_bytes().to_vec()).collect();
        for step in 1..stream.len() {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let space = inbox.space();
                let n = step.min(space.len()).min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                rest = &rest[n..];
                inbox.filled(n);
                while let Some(frame) = inbox.next_frame().unwrap() {
                    got.push(Report::decode(frame).unwrap());
                }
            }
            assert_eq!(got, reports(), "in pieces of {step}");
        }
    }

    #[test]
    fn orders_survive_the_way_there() {
        for order in [Order::Go, Order::Stop(Stop::Orderly), Order::Stop(Stop::Kill)] {
            assert_eq!(Order::decode(&order.encode().as_bytes()[PREFIX..]), Ok(order));
        }
    }

    #[test]
    fn overlong_and_empty_frames_are_errors_at_the_prefix() {
        for len in [0u32, MAX_SHORT as u32 + 1, u32::MAX] {
            let mut inbox = Inbox::default();
            inbox.space()[..PREFIX].copy_from_slice(&len.to_le_bytes());
            inbox.filled(PREFIX);
            assert_eq!(inbox.next_frame(), Err(ProtocolError::Length(len as usize)));
        }
    }

    #[test]
    fn garbage_never_becomes_a_registration() {
        for kind in 0..=u8::MAX {
            let known = Report::decode(&[kind]);
            assert!(known.is_err() || known == Ok(Report::Running), "kind {kind}");
        }
        // A pid of 0 would mean "my own group" to kill(2).
        let mut forged = Frame::new(16);
        forged.put(&0u32.to_le_bytes());
        forged.put(&0i32.to_le_bytes());
        assert_eq!(Report::decode(&forged.as_bytes()[PREFIX..]), Err(ProtocolError::Fields));
        // Left-over bytes.
        assert_eq!(Order::decode(&[2, 0]), Err(ProtocolError::Fields));
    }
}
