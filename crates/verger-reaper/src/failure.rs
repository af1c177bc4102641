//! A start that has failed: told once it is known what is left of it.

use tokio::sync::oneshot;

use crate::SpawnError;
use crate::custody::Custody;

/// The error, and who is to hear of it.
pub(crate) struct Failure {
    pub(crate) error: SpawnError,
    pub(crate) reply: oneshot::Sender<Result<Custody, SpawnError>>,
    /// Of whatever had been started by then.
    pub(crate) custody: Custody,
}

impl Failure {
    /// Waits for the proof, or for the limit of waiting, and tells.
    pub(crate) async fn tell(self) {
        let Self { error, reply, custody } = self;
        let error = match custody.gone().await {
            Ok(_) => error,
            Err(unproven) => SpawnError::Stuck { cause: Box::new(error), unproven, custody },
        };
        // Nobody may want to know any more.
        reply.send(Err(error)).ok();
    }
}
