//! Summaries: how the model is asked for one, and how much a model may hold before it is.

use futures_util::StreamExt;
use uuid::Uuid;
use verger_core::ids::{Ticket, TurnId};
use verger_core::thread::{Conversation, Event, Said, Says};
use verger_model::{InputItem, WireApi};
use verger_wire::types::{ThreadItem, UserInput};

use super::context;
use super::model_call::{self, Asking};
use super::owner::{Asker, Owner};
use crate::config::Config;
use crate::replier::Replier;

/// What the model is asked, unless the configuration says it otherwise.
const PROMPT: &str = "\
This conversation is about to outgrow your memory. Write a summary of all of it, for yourself: you will be told nothing \
else of it. Say what the user wants, in the user's own words where these matter; what was done and decided, and why; what \
was found out, with names, paths and numbers as they are; and what is still to be done, the next step first. Do not \
answer the user, do not call tools, and leave out what nobody will need again.";

/// How the model is told the summary, instead of what it covers.
const PREFACE: &str = "\
Summary of this conversation so far, which you wrote because it had grown too long. What it says was done is done; go on \
from there.";

/// How much of a message the summary of the offline model quotes, in characters.
const QUOTE: usize = 200;

impl Owner {
    /// Tells the machine how many tokens its model may hold.
    pub(super) fn measure_room(&mut self) {
        let limit = limit(&self.caller.shared.config(), self.meta.settings.context_window);
        self.machine.sum_up_past(limit);
    }

    /// `thread/compact/start`.
    pub(super) async fn compact(&mut self, ticket: Ticket, replier: Replier) {
        self.tickets.insert(ticket, Asker::Plain(replier));
        self.handle(Event::Compact { ticket, turn: TurnId(Uuid::now_v7()) }).await;
    }

    /// Asks for a summary of all but the last `behind` records.
    pub(super) async fn sum_up(&mut self, call: u64, behind: u32) {
        let manner = self.manner();
        let saying = match (self.provider(&manner), self.log.conversation(behind).await) {
            (Ok(provider), Ok(conversation)) if provider.wire_api == WireApi::Offline => {
                let summary = offline_summary(&conversation);
                let said = [Says::TextDelta { output: "summary".into(), delta: summary }, Says::Completed];
                futures_util::stream::iter(said).boxed()
            }
            (Ok(provider), Ok(conversation)) => {
                let config = self.caller.shared.config();
                let prompt = config.compact_prompt.clone().unwrap_or_else(|| PROMPT.to_owned());
                let mut input = context::input(conversation, &provider.id);
                input.push(InputItem::user(prompt));
                let asking = self.asking(manner, provider, input);
                model_call::call(Asking { with_tools: false, schema: None, ..asking })
            }
            (Err(message), _) | (_, Err(message)) => model_call::failed(message),
        };
        self.saying = Some((call, saying));
    }
}

/// Past how many tokens the conversation is summed up: as configured, else nine tenths of what the model holds. A model that
/// nothing is known of is never full.
fn limit(config: &Config, window: Option<u32>) -> Option<i64> {
    let of_window = window.or(config.model_context_window).map(|window| i64::from(window) * 9 / 10);
    config.model_auto_compact_token_limit.map(i64::from).or(of_window)
}

/// What a model is told in place of what `summary` covers.
pub(super) fn told(summary: &str) -> InputItem {
    InputItem::user(format!("{PREFACE}\n\n{summary}"))
}

/// What the offline model makes of a conversation: it cannot tell what matters, but it can count and quote.
fn offline_summary(conversation: &Conversation) -> String {
    let items = || {
        conversation.said.iter().filter_map(|said| match said {
            Said::Item(item) => Some(item),
            Said::Injected(_) => None,
        })
    };
    let words = |item: &ThreadItem| match item {
        ThreadItem::UserMessage(message) => message.content.iter().find_map(|input| match input {
            UserInput::Text { text, .. } => Some(text.clone()),
            _ => None,
        }),
        _ => None,
    };
    let answer = |item: &ThreadItem| match item {
        ThreadItem::AgentMessage(message) => Some(message.text.clone()),
        _ => None,
    };
    let calls = items().filter(|item| matches!(item, ThreadItem::McpToolCall(_))).count();
    let said: Vec<String> = items().filter_map(words).collect();
    let mut lines = Vec::new();
    if let Some(earlier) = &conversation.summary {
        lines.push(format!("Before that: {}", quote(earlier)));
    }
    lines.push(format!("The user wrote {} messages, and {calls} tools were called.", said.len()));
    lines.extend(said.first().map(|first| format!("The first message: {}", quote(first))));
    lines.extend(said.last().map(|last| format!("The last message: {}", quote(last))));
    lines.extend(items().rev().find_map(answer).map(|last| format!("The last answer: {}", quote(&last))));
    lines.join("\n")
}

/// The beginning of a text, and dots where there was more.
fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
