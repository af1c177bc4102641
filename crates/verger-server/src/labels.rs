//! What is written on a thread from outside its turns: its name, and the repository that it works on.

use verger_store::{ChangeError, Labels};
use verger_wire::requests::{Empty, GitInfoUpdate, ThreadReadResponse};
use verger_wire::types::{GitInfo, ThreadStatus};
use verger_wire::{Notification, RpcError, ThreadNameUpdatedNotification};

use crate::meta::Meta;
use crate::replier::Replier;
use crate::shared::Shared;

/// One change of what is written.
#[derive(Clone, Debug)]
pub(crate) enum Label {
    /// `thread/name/set`.
    Name(String),
    /// `thread/metadata/update`.
    Git(GitInfoUpdate),
}

impl Label {
    /// A name, without the space around it.
    pub(crate) fn name(text: &str) -> Result<Self, RpcError> {
        match text.trim() {
            "" => Err(RpcError::invalid_params("name", "must not be empty")),
            name => Ok(Self::Name(name.to_owned())),
        }
    }

    pub(crate) fn git(update: Option<GitInfoUpdate>) -> Result<Self, RpcError> {
        let update =
            update.ok_or_else(|| RpcError::invalid_params("gitInfo", "missing: nothing to change"))?;
        if update == GitInfoUpdate::default() {
            return Err(RpcError::invalid_params(
                "gitInfo",
                "must include at least one of sha, branch, originUrl",
            ));
        }
        let fields = [
            ("gitInfo.sha", &update.sha),
            ("gitInfo.branch", &update.branch),
            ("gitInfo.originUrl", &update.origin_url),
        ];
        let is_blank =
            |text: &Option<Option<String>>| matches!(text, Some(Some(text)) if text.trim().is_empty());
        match fields.iter().find(|(_, text)| is_blank(text)) {
            Some((field, _)) => Err(RpcError::invalid_params(field, "must not be empty; null takes it away")),
            None => Ok(Self::Git(update)),
        }
    }

    /// Writes on `meta`, and says what the store has to change.
    pub(crate) fn apply(&self, meta: &mut Meta) -> Labels {
        match self {
            Self::Name(name) => {
                meta.name = Some(name.clone());
                Labels { name: Some(meta.name.clone()), git_info: None }
            }
            Self::Git(update) => {
                let was = meta.git_info.take().unwrap_or_default();
                let is = GitInfo {
                    sha: update.sha.clone().unwrap_or(was.sha),
                    branch: update.branch.clone().unwrap_or(was.branch),
                    origin_url: update.origin_url.clone().unwrap_or(was.origin_url),
                };
                meta.git_info = (is != GitInfo::default()).then_some(is);
                Labels { name: None, git_info: Some(meta.git_info_json()) }
            }
        }
    }

    /// Answers the client that asked, and tells everyone who may show the name.
    pub(crate) fn answer(&self, shared: &Shared, replier: Replier, meta: &Meta, status: ThreadStatus) {
        match self {
            Self::Name(name) => {
                replier.ok(&Empty {});
                let thread_name = Some(name.clone());
                let updated = ThreadNameUpdatedNotification { thread_id: meta.id.to_string(), thread_name };
                shared.announce(Notification::ThreadNameUpdated(updated));
            }
            Self::Git(_) => replier.ok(&ThreadReadResponse { thread: meta.to_wire(status, Vec::new()) }),
        }
    }
}

/// The wire's word for what the store would not do.
pub(crate) fn refusal(error: ChangeError) -> RpcError {
    match error {
        ChangeError::NotFound(thread) => RpcError::no_rollout(thread),
        ChangeError::Archived(thread) => RpcError::thread_archived(thread),
        ChangeError::NotArchived(thread) => RpcError::no_archived_rollout(thread),
        ChangeError::Forked(thread) => RpcError::forked_from(thread),
        ChangeError::Owned { thread, pid } => RpcError::active_writer(thread, pid),
        ChangeError::Store(error) => RpcError::internal(error.to_string()),
    }
}
