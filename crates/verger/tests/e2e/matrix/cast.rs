//! Who plays: the misbehaviours, the levels of containment, the users, the ends; and one of each, a cell.

use std::fmt;

/// A misbehaviour of the helper, and how far a client gets with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    /// For bad-helper's `--mode`.
    pub(crate) words: &'static [&'static str],
    pub(crate) reach: Reach,
    /// What it does to the shim above it.
    pub(crate) attack: Attack,
    /// Forks so fast that nothing may be measured beside it.
    pub(crate) storms: bool,
}

/// How far a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the answer of any call.
    Answers,
    /// To an answer, but every call ends at once, whatever it asks.
    AnswersAtOnce,
    /// Into a call that is never answered.
    HangsInCall,
    /// Into a call that ends with the helper.
    DiesInCall,
    /// Into a start that does not end.
    HangsInStart,
    /// Into a start that fails of itself.
    FailsToStart,
    /// Anywhere: the helper works against its own shim, and who is faster is not said.
    Unsure,
}

/// What a mode does to its shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    None,
    Stops,
    Kills,
}

const fn mode(words: &'static [&'static str], reach: Reach) -> Mode {
    Mode { words, reach, attack: Attack::None, storms: false }
}

const fn against(words: &'static [&'static str], attack: Attack) -> Mode {
    Mode { words, reach: Reach::Unsure, attack, storms: false }
}

const fn storm(words: &'static [&'static str]) -> Mode {
    Mode { words, reach: Reach::Answers, attack: Attack::None, storms: true }
}

/// Every mode that is about ends. Left out are `slow-init`, which is a `never-init` that ends, `reject-reinit`, which the
/// storms of reconnects are about, and `long-line` and `long-answer` in their full length.
pub(crate) static MODES: [Mode; 35] = [
    mode(&["polite"], Reach::Answers),
    mode(&["ignore-eof"], Reach::Answers),
    mode(&["stubborn"], Reach::Answers),
    mode(&["wrapper"], Reach::Answers),
    mode(&["wrapper-stubborn"], Reach::Answers),
    mode(&["wrapper-chain"], Reach::Answers),
    mode(&["wrapper-chain", "stubborn"], Reach::Answers),
    mode(&["grandchild"], Reach::Answers),
    mode(&["orphan"], Reach::Answers),
    mode(&["own-group"], Reach::Answers),
    mode(&["setsid"], Reach::Answers),
    mode(&["daemon-empty-env"], Reach::Answers),
    mode(&["daemon-undumpable"], Reach::Answers),
    mode(&["many"], Reach::Answers),
    mode(&["garbage-stdout"], Reach::Answers),
    mode(&["half-lines"], Reach::Answers),
    mode(&["long-line", "5"], Reach::Answers),
    mode(&["long-answer", "5"], Reach::AnswersAtOnce),
    mode(&["stderr-flood"], Reach::Answers),
    mode(&["leak-fds"], Reach::Answers),
    mode(&["leak-fds-steadily"], Reach::Answers),
    mode(&["alloc"], Reach::Answers),
    mode(&["alloc-unbounded", "256"], Reach::Answers),
    mode(&["stopped"], Reach::HangsInCall),
    mode(&["exit-in-call"], Reach::DiesInCall),
    mode(&["never-init"], Reach::HangsInStart),
    mode(&["stopped-now"], Reach::HangsInStart),
    mode(&["reject-init"], Reach::FailsToStart),
    mode(&["exit-in-init"], Reach::FailsToStart),
    against(&["stop-shim"], Attack::Stops),
    against(&["kill-shim"], Attack::Kills),
    against(&["daemon-kill-shim"], Attack::Kills),
    against(&["daemon-empty-env-kill-shim"], Attack::Kills),
    storm(&["forking-chain"]),
    storm(&["forking-storm"]),
];

/// How a helper is contained, as `containment` of its server names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Shim,
    Cgroup,
    Pidns,
}

impl Level {
    pub(crate) const ALL: [Self; 3] = [Self::Shim, Self::Cgroup, Self::Pidns];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shim => "shim",
            Self::Cgroup => "cgroup",
            Self::Pidns => "pidns",
        }
    }
}

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    Root,
    /// uid 65534; or, where the tests do not run as root, who runs them.
    Unprivileged,
}

impl User {
    pub(crate) const ALL: [Self; 2] = [Self::Root, Self::Unprivileged];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unprivileged => "unprivileged",
        }
    }
}

macro_rules! ends {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// What happens to the helper's owner, or to the helper.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum End { $($(#[doc = $doc])+ $variant,)+ }

        impl End {
            pub(crate) const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

ends! {
    /// The last client of the thread goes.
    Disconnect => "disconnect",
    /// The last subscriber of the thread goes and stays connected.
    Unsubscribe => "unsubscribe",
    /// The thread is archived.
    Archive => "archive",
    /// The thread is deleted.
    Delete => "delete",
    /// A reload without the server.
    Removed => "reload-removed",
    /// A reload with another command for the server.
    Changed => "reload-changed",
    /// A reload with another server of that name, and a call for it right behind.
    Replaced => "replaced",
    /// The helper does not answer `initialize` in time.
    StartupTimeout => "startup-timeout",
    /// Who asked for the helper leaves while it starts.
    CallerCancelled => "caller-cancelled",
    /// A call takes too long, and then the thread closes.
    ToolTimeout => "tool-timeout",
    /// The helper's leader is killed.
    HelperCrash => "helper-crash",
    /// A turn is interrupted in a call, and then the thread closes.
    Interrupt => "interrupt",
    /// SIGTERM to the server.
    Term => "sigterm",
    /// A second one, while graces of a minute run.
    SecondTerm => "second-sigterm",
    /// SIGINT to the server.
    Int => "sigint",
    /// SIGKILL to the server; nobody comes after it, except where a helper disabled its shim.
    Kill => "sigkill",
    /// SIGKILL to the server while a shim of it is there and its helper is not registered.
    KillAtBirth => "sigkill-at-birth",
    /// SIGKILL to the server, and the next one begins at once.
    Restart => "restart",
}

/// One story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its place in [`MODES`].
    pub(crate) mode: usize,
    pub(crate) level: Level,
    pub(crate) user: User,
    pub(crate) end: End,
}

impl Cell {
    pub(crate) fn mode(&self) -> &'static Mode {
        &MODES[self.mode]
    }

    /// Every combination, sensible or not.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for mode in 0..MODES.len() {
            for level in Level::ALL {
                for user in User::ALL {
                    all.extend(End::ALL.map(|end| Self { mode, level, user, end }));
                }
            }
        }
        all
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, user, end, .. } = self;
        let mode = self.mode().words.join(" ");
        write!(f, "{mode}/{}/{}/{}", level.name(), user.name(), end.name())
    }
}
