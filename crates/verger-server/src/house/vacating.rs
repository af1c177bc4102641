//! The end of a job run: what it is told of its thread's helpers.

use verger_core::ids::Ticket;
use verger_core::server::Refusal;

use super::{House, Vacated};

impl House {
    pub(super) fn vacated(&mut self, ticket: Ticket, result: Result<Vacated, String>) {
        if let Some(answer) = self.vacating.remove(&ticket) {
            // Whoever asked may have been given up with the server.
            answer.send(result).ok();
        }
    }

    pub(super) fn not_vacated(&mut self, ticket: Ticket, refusal: Refusal) {
        let result = match refusal {
            Refusal::ShuttingDown => Ok(Vacated::WithTheHouse),
            Refusal::Unproven => Err("helper could not be proven gone; see `verger ps`".to_owned()),
            other => Err(format!("its helpers could not be ended: {other:?}")),
        };
        self.vacated(ticket, result);
    }
}
