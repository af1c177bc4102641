//! What is done to the row of a stored thread that has no owner: one errand at a time, and while it is under way nobody
//! becomes the thread's owner (K4).

use crate::ids::{ConnectionId, Generation, ThreadId, Ticket};
use crate::time::Time;

use super::loaded::{Loaded, Waiting};
use super::{Answer, Edit, Effect, Event, News, Refusal, Server, StoreFailure};

/// A change under way. Whatever concerns the thread waits for it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Errand {
    generation: Generation,
    ticket: Ticket,
    edit: Edit,
    waiting: Vec<Event>,
}

impl Server {
    /// Gives the event back, unless it has to wait for an errand.
    pub(super) fn unless_waiting(&mut self, event: Event) -> Option<Event> {
        let thread = match &event {
            Event::Resume { thread, .. }
            | Event::Request { thread, .. }
            | Event::Edit { thread, .. }
            | Event::End { thread, .. }
            | Event::Fork { source: thread, .. } => *thread,
            _ => return Some(event),
        };
        match self.errands.get_mut(&thread) {
            None => Some(event),
            Some(errand) => {
                errand.waiting.push(event);
                None
            }
        }
    }

    pub(super) fn edit(&mut self, ticket: Ticket, connection: ConnectionId, thread: ThreadId, edit: Edit) {
        if !self.admit(ticket, connection) {
            return;
        }
        if let Some(ending) = self.ending_of(thread) {
            return self.refuse(ticket, Refusal::Ending(ending));
        }
        match (self.threads.get_mut(&thread), edit) {
            // It may prove archived, or not there.
            (Some(Loaded { opening: Some(waiting), .. }), _) => {
                waiting.push(Waiting::Again(Event::Edit { ticket, connection, thread, edit }));
            }
            (Some(_), Edit::Label) => self.forward(ticket, thread, false),
            // What is loaded is not archived.
            (Some(_), Edit::Unarchive) => self.refuse(ticket, Refusal::Store(StoreFailure::NotArchived)),
            (None, _) => {
                // A number of its own, later than that of an owner that is still closing: its claim is void then.
                let generation = self.next_generation();
                self.errands.insert(thread, Errand { generation, ticket, edit, waiting: Vec::new() });
                self.effects.push_back(Effect::Edit { thread, generation, ticket, edit });
            }
        }
    }

    pub(super) fn edited(
        &mut self,
        now: Time,
        thread: ThreadId,
        generation: Generation,
        result: Result<(), StoreFailure>,
    ) {
        let is_this = |errand: &Errand| errand.generation == generation;
        if !self.errands.get(&thread).is_some_and(is_this) {
            self.stale += 1;
            return;
        }
        let Some(errand) = self.errands.remove(&thread) else { return };
        let ticket = errand.ticket;
        match result {
            Ok(()) => {
                self.effects.push_back(Effect::Answer { ticket, answer: Answer::Edited });
                if errand.edit == Edit::Unarchive {
                    self.effects.push_back(Effect::Announce { thread, news: News::Unarchived });
                }
            }
            Err(failure) => self.refuse(ticket, Refusal::Store(failure)),
        }
        // One of them may be the next errand, and then the rest waits for that one.
        for event in errand.waiting {
            self.handle(now, event);
        }
    }
}
