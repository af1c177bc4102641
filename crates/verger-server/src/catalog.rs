//! The tools of each MCP server, as its last helper listed them: offering tools to a model starts nothing that ran
//! before under the same definition. In memory only; a cache on disk is to come.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use verger_core::server::ServerName;
use verger_mcp::Tool;

use crate::config::McpServer;

/// Tools by server. An entry counts only for the definition that it was listed under.
#[derive(Debug, Default)]
pub(crate) struct Catalog(RwLock<HashMap<ServerName, Listed>>);

type Listed = (Arc<McpServer>, Arc<[Tool]>);

impl Catalog {
    pub(crate) fn set(&self, server: ServerName, definition: Arc<McpServer>, tools: Arc<[Tool]>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(server, (definition, tools));
    }

    pub(crate) fn get(&self, server: &ServerName, definition: &McpServer) -> Option<Arc<[Tool]>> {
        let catalog = self.0.read().unwrap_or_else(PoisonError::into_inner);
        catalog
            .get(server)
            .filter(|(under, _)| under.is_same_helper(definition))
            .map(|(_, tools)| Arc::clone(tools))
    }
}
