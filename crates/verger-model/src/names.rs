//! The names under which tools are offered to models, and the way back.
//!
//! `mcp__SERVER__TOOL`, cut and ended with a hash where that would be longer than 64 characters, hold one that function
//! names may not, or read as another server's tool (`a__b` + `c` and `a` + `b__c`). The hash depends on the two names
//! alone, so that a saved conversation means the same in every run.

use std::borrow::Cow;

use crate::request::{ToolSource, ToolSpec};

/// What providers accept as the length of a function's name, in characters.
const MAX_NAME: usize = 64;
/// Hexadecimal digits of the hash: 48 bits tell apart the tools of one server.
const HASH_DIGITS: usize = 12;
const PREFIX: &str = "mcp__";

/// The function's name for a tool: at most 64 of `A-Z a-z 0-9 _ -`, different for different tools, the same in every
/// run.
pub fn offered_name(server: &str, tool: &str) -> String {
    let plain = format!("{PREFIX}{}__{}", spell(server), spell(tool));
    if plain.len() <= MAX_NAME && parse(&plain) == Some((server, tool)) {
        return plain;
    }
    // Everything in `plain` is ASCII by now, so that a cut cannot fall into a character.
    let kept = plain.len().min(MAX_NAME - HASH_DIGITS - 1);
    format!("{}_{:0width$x}", &plain[..kept], hash(server, tool), width = HASH_DIGITS)
}

/// The function's name for a tool of a client's: as the client says it, after its family.
pub fn client_name(family: Option<&str>, tool: &str) -> String {
    match family {
        None => tool.to_owned(),
        Some(family) => format!("{family}__{tool}"),
    }
}

/// The client's tool that a function call means, whichever way it was written.
pub fn resolve_client<'a>(
    offered: &'a [ToolSpec],
    namespace: Option<&str>,
    name: &str,
) -> Option<(Option<&'a str>, &'a str)> {
    offered.iter().find_map(|spec| {
        let ToolSource::Client(family) = &spec.source else { return None };
        let family = family.as_deref();
        let is_called = match namespace {
            None => client_name(family, &spec.tool) == name,
            Some(_) => namespace == family && spec.tool == name,
        };
        is_called.then_some((family, spec.tool.as_str()))
    })
}

/// Server and tool of a function call, whichever way it was written: the offered name, or `namespace: "mcp__SERVER"`
/// with `name: "TOOL"`. A tool that was not offered is still read where its name is plain, so that a call of a tool
/// that is gone can be answered with its name. `None`: not a tool of an MCP server.
pub fn resolve<'a>(
    offered: &'a [ToolSpec],
    namespace: Option<&'a str>,
    name: &'a str,
) -> Option<(&'a str, &'a str)> {
    let of_servers = || {
        offered.iter().filter_map(|spec| match &spec.source {
            ToolSource::Server(server) => Some((server.as_str(), spec.tool.as_str())),
            ToolSource::Client(_) => None,
        })
    };
    let full = |(server, tool): &(&str, &str)| offered_name(server, tool) == name;
    if let Some(server) = namespace.and_then(|space| space.strip_prefix(PREFIX)) {
        let same = |given: &str, ours: &str| given == ours || given == spell(ours);
        // Some providers end the namespace with the separator.
        let bare = server.strip_suffix("__").unwrap_or(server);
        return of_servers()
            .find(|(of, tool)| (same(server, of) || same(bare, of)) && same(name, tool))
            .or_else(|| of_servers().find(full))
            .or(Some((bare, name)));
    }
    of_servers().find(full).or_else(|| parse(name))
}

/// Server and tool of a plain name: the server ends at the first `__`.
fn parse(name: &str) -> Option<(&str, &str)> {
    let (server, tool) = name.strip_prefix(PREFIX)?.split_once("__")?;
    (!server.is_empty() && !tool.is_empty()).then_some((server, tool))
}

impl ToolSpec {
    /// The function's name under which it is offered.
    pub fn name(&self) -> String {
        match &self.source {
            ToolSource::Server(server) => offered_name(server, &self.tool),
            ToolSource::Client(family) => client_name(family.as_deref(), &self.tool),
        }
    }
}

/// `_` for each character that function names may not hold.
fn spell(name: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.chars().all(allowed) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if allowed(c) { c } else { '_' }).collect())
}

/// FNV-1a over both names, folded to 48 bits. Not a secret and not a defence: a server can only collide with itself.
fn hash(server: &str, tool: &str) -> u64 {
    let bytes = server.bytes().chain([0]).chain(tool.bytes());
    let wide = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (wide ^ (wide >> 48)) & ((1 << (4 * HASH_DIGITS)) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn spec(server: &str, tool: &str) -> ToolSpec {
        let source = ToolSource::Server(server.to_owned());
        of(source, tool)
    }

    fn of(source: ToolSource, tool: &str) -> ToolSpec {
        let (description, input_schema) = (String::new(), json!({"type": "object"}));
        ToolSpec { source, tool: tool.to_owned(), description, input_schema }
    }

    #[test]
    fn a_clients_tool_is_called_by_its_own_name() {
        let shop = Some("shop".to_owned());
        let tools =
            [of(ToolSource::Client(None), "lookup"), of(ToolSource::Client(shop), "buy"), spec("git", "log")];
        for (namespace, name, meant) in [
            (None, "lookup", Some((None, "lookup"))),
            (None, "shop__buy", Some((Some("shop"), "buy"))),
            (Some("shop"), "buy", Some((Some("shop"), "buy"))),
            (Some("shop"), "lookup", None),
            (None, "buy", None),
            (None, "mcp__git__log", None),
        ] {
            assert_eq!(resolve_client(&tools, namespace, name), meant, "{namespace:?} {name}");
        }
        assert_eq!(resolve(&tools, None, "lookup"), None, "no server has it");
    }

    #[test]
    fn plain_names_stay_plain() {
        assert_eq!(offered_name("git", "log"), "mcp__git__log");
        assert_eq!(offered_name("my-git", "log_all__x"), "mcp__my-git__log_all__x");
    }

    #[test]
    fn names_that_would_read_alike_differ() {
        assert_ne!(offered_name("a__b", "c"), offered_name("a", "b__c"));
        assert_ne!(offered_name("a_", "b"), offered_name("a", "_b"));
        assert_ne!(offered_name("a", "x.y"), offered_name("a", "x/y"));
    }

    #[test]
    fn a_long_name_keeps_its_beginning_and_never_changes() {
        let name = offered_name("filesystem", &"read_".repeat(20));
        assert_eq!(name, "mcp__filesystem__read_read_read_read_read_read_read_48eadd52947c");
    }

    #[test]
    fn both_spellings_of_a_call_mean_the_same() {
        let tools = [spec("git", "log"), spec("odd.server", "odd tool")];
        for (namespace, name) in
            [(None, "mcp__git__log"), (Some("mcp__git"), "log"), (Some("mcp__git__"), "log")]
        {
            assert_eq!(resolve(&tools, namespace, name), Some(("git", "log")), "{namespace:?} {name}");
        }
        assert_eq!(resolve(&tools, Some("mcp__odd_server"), "odd_tool"), Some(("odd.server", "odd tool")));
    }

    #[test]
    fn a_tool_that_is_gone_is_still_named() {
        assert_eq!(resolve(&[], None, "mcp__git__blame"), Some(("git", "blame")));
        assert_eq!(resolve(&[], Some("mcp__git"), "blame"), Some(("git", "blame")));
        assert_eq!(resolve(&[], None, "shell"), None);
        assert_eq!(resolve(&[], Some("functions"), "shell"), None);
    }

    proptest! {
        #[test]
        fn every_offered_name_finds_its_tool(
            names in prop::collection::hash_set(("[a-c_.]{1,8}|[a-z_]{30,50}", "[a-c_/]{1,8}|\\PC{1,40}|[a-z]{60,80}"), 1..20)
        ) {
            let tools: Vec<ToolSpec> = names.iter().map(|(server, tool)| spec(server, tool)).collect();
            for tool in &tools {
                let ToolSource::Server(server) = &tool.source else { unreachable!("made so above") };
                let name = offered_name(server, &tool.tool);
                prop_assert!(name.len() <= MAX_NAME);
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{}", name);
                prop_assert_eq!(resolve(&tools, None, &name), Some((server.as_str(), tool.tool.as_str())));
            }
        }
    }
}
