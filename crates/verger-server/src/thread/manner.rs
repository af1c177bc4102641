//! How the model is asked in the course of one turn: as its thread stood when the turn first asked. What a client sets
//! meanwhile holds from the next turn on.

use serde_json::Value;

use super::owner::Owner;
use crate::meta::Settings;

/// One turn's way.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// The turn's id.
    turn: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) settings: Settings,
    /// What its answers are to keep to.
    pub(super) schema: Option<Value>,
}

impl Owner {
    /// The active turn's way.
    pub(super) fn manner(&mut self) -> Manner {
        let turn = self.machine.active_turn().map(|active| active.turn.id.clone()).unwrap_or_default();
        let known = self.manner.take().filter(|manner| manner.turn == turn);
        let manner = known.unwrap_or_else(|| Manner {
            turn,
            provider: self.meta.model_provider.clone(),
            model: self.meta.model.clone(),
            settings: self.meta.settings.clone(),
            schema: self.output_schema.take(),
        });
        self.manner = Some(manner.clone());
        manner
    }

    /// Takes a schema for the turn that begins. Not where a turn is under way that was begun with another.
    pub(super) fn take_schema(&mut self, schema: Option<Value>) -> bool {
        if self.machine.active_turn().is_none() {
            self.output_schema = schema;
            return true;
        }
        let current = self.manner.as_ref().and_then(|manner| manner.schema.as_ref());
        schema.is_none() || schema.as_ref() == current
    }
}
