//! What a client may ask for only with `capabilities.experimentalApi`: the peer refuses these to the others, so that
//! nobody comes to depend on them unawares.

use super::ClientRequest;
use crate::types::AskForApproval;

impl ClientRequest {
    /// The first thing in the request that needs the capability, as the refusal names it.
    #[must_use]
    pub fn experimental(&self) -> Option<&'static str> {
        let field = match self {
            Self::ThreadResume(params) if params.initial_turns_page.is_some() => {
                Some("thread/resume.initialTurnsPage")
            }
            Self::ThreadStart(params) if params.experimental_raw_events => {
                Some("thread/start.experimentalRawEvents")
            }
            Self::ThreadStart(params) if params.dynamic_tools.is_some() => Some("thread/start.dynamicTools"),
            Self::ThreadResume(params) if params.experimental_raw_events => {
                Some("thread/resume.experimentalRawEvents")
            }
            Self::ThreadFork(params) if params.before_turn_id.is_some() => Some("thread/fork.beforeTurnId"),
            _ => None,
        };
        let policy = match self {
            Self::ThreadStart(params) => params.approval_policy,
            Self::ThreadResume(params) => params.approval_policy,
            Self::ThreadFork(params) => params.approval_policy,
            Self::TurnStart(params) => params.approval_policy,
            _ => None,
        };
        let granular = matches!(policy, Some(AskForApproval::Granular(_)));
        field.or(granular.then_some("askForApproval.granular"))
    }
}
