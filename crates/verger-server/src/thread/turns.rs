//! Turns: how the owner begins one, and carries out what its machine decides.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use uuid::Uuid;
use verger_core::ids::{Seq, Ticket, TurnId};
use verger_core::server;
use verger_core::thread::{Effect, Event, Reply};
use verger_model::{InputItem, ProviderConfig, WireApi};
use verger_wire::requests::{Empty, TurnStartParams, TurnStartResponse, TurnSteerResponse};
use verger_wire::types::{ThreadStatus, UserInput};
use verger_wire::{Notification, RpcError, ThreadStatusChangedNotification};

use super::approval::Policy;
use super::manner::Manner;
use super::model_call::{self, Asking};
use super::owner::{Asker, Owner};
use super::subscribers::Subscribers;
use super::{context, raw};
use crate::config::Start;
use crate::event;
use crate::meta::{Overrides, Settings};
use crate::replier::Replier;

/// How much of the first message a list shows, in characters.
const PREVIEW: usize = 160;

impl Owner {
    pub(super) async fn turn_start(&mut self, ticket: Ticket, replier: Replier, params: TurnStartParams) {
        let TurnStartParams {
            input,
            client_user_message_id,
            client_request_id: request,
            model,
            effort,
            summary,
            cwd,
            approval_policy,
            sandbox_policy,
            output_schema,
            ..
        } = params;
        match self.has_taken(request.as_deref()).await {
            Ok(false) => {}
            // It starts nothing, and changes nothing.
            Ok(true) => {
                let asker = Asker::Start(replier);
                return self.begin(ticket, asker, input, client_user_message_id, request).await;
            }
            Err(message) => return self.not_begun(replier, &RpcError::internal(message)).await,
        }
        let over = Overrides {
            cwd,
            model,
            effort,
            summary,
            approval_policy,
            sandbox: sandbox_policy,
            ..Overrides::default()
        };
        if let Err((field, reason)) = over.check(&self.caller.shared.config()) {
            return self.not_begun(replier, &RpcError::invalid_params(field, reason)).await;
        }
        if !self.take_schema(output_schema) {
            return self.not_begun(replier, &RpcError::schema_mismatch()).await;
        }
        self.apply(over);
        self.heard(&input);
        self.begin(ticket, Asker::Start(replier), input, client_user_message_id, request).await;
    }

    /// Refuses a request that might have begun a turn. The house counts on hearing of each.
    pub(super) async fn not_begun(&mut self, replier: Replier, error: &RpcError) {
        replier.refuse(error);
        self.handle(Event::NotBegun).await;
    }

    pub(super) async fn begin(
        &mut self,
        ticket: Ticket,
        asker: Asker,
        input: Vec<UserInput>,
        client_id: Option<String>,
        request: Option<String>,
    ) {
        self.tickets.insert(ticket, asker);
        let turn = TurnId(Uuid::now_v7());
        self.handle(Event::Begin { ticket, turn, input, client_id, request }).await;
    }

    /// The user has spoken: lists show what, and since when.
    pub(super) fn heard(&mut self, input: &[UserInput]) {
        if self.meta.preview.is_empty() {
            self.meta.preview = preview(input);
        }
        self.meta.recency_at = self.caller.shared.clock.unix_sec();
    }

    /// Lets the machine decide, and carries out its effects in order.
    pub(super) async fn handle(&mut self, event: Event) {
        let at = self.caller.shared.clock.unix_ms();
        self.machine.handle(at, event);
        while let Some(effect) = self.machine.poll_effect() {
            self.obey(at, effect).await;
        }
    }

    async fn obey(&mut self, at: i64, effect: Effect) {
        match effect {
            Effect::Append(records) => {
                let was_empty = self.log.is_empty();
                self.meta.updated_at = self.caller.shared.clock.unix_sec();
                let first = Seq(self.log.head().0.saturating_add(1));
                match self.log.append(&records, &self.meta).await {
                    Ok(()) => {
                        self.stream.appended(first, &records);
                        if was_empty {
                            self.materialized();
                        }
                    }
                    Err(message) => {
                        tracing::error!(thread = %self.meta.id, message, "a record was not kept");
                        self.machine.handle(at, Event::AppendFailed { message });
                    }
                }
            }
            Effect::Notify(notification) => self.notify(notification),
            Effect::Announce(notification) => self.caller.shared.announce(notification),
            Effect::Status(status) => self.tell_status(status),
            Effect::Reply { ticket, reply } => match (self.tickets.remove(&ticket), reply) {
                (Some(Asker::Start(replier)), Reply::Turn(turn)) => {
                    replier.ok(&TurnStartResponse { turn: *turn });
                }
                (Some(Asker::Steer(replier)), Reply::Turn(turn)) => {
                    replier.ok(&TurnSteerResponse { turn_id: turn.id });
                }
                (Some(Asker::Interrupt(replier)), Reply::Interrupted)
                | (Some(Asker::Plain(replier)), Reply::Done) => replier.ok(&Empty {}),
                (Some(Asker::Revert(replier)), Reply::Reverted) => self.reverted(replier).await,
                // An answer of another kind than the question: dropping the replier says that it failed.
                (asker, reply) => {
                    tracing::error!(answered = asker.is_some(), ?reply, "an answer fits no question")
                }
            },
            Effect::Recall { ticket, turn } => self.recall(ticket, turn),
            Effect::Refuse { ticket, error } => {
                if let Some(
                    Asker::Start(replier)
                    | Asker::Steer(replier)
                    | Asker::Interrupt(replier)
                    | Asker::Revert(replier)
                    | Asker::Plain(replier),
                ) = self.tickets.remove(&ticket)
                {
                    replier.refuse(&error);
                }
            }
            Effect::CallModel { call } => self.call_model(call).await,
            Effect::SumUp { call, behind } => self.sum_up(call, behind).await,
            Effect::CancelModel => self.saying = None,
            Effect::CallTool { item, server, tool, arguments } => {
                let caller = self.caller.clone();
                let policy = self.policy();
                self.tools.spawn(async move {
                    let calling = caller.call_in_turn(&item, &server, &tool, arguments, policy);
                    let calling = AssertUnwindSafe(calling);
                    let failed = |_| Err("the call failed within the server; see its log".to_owned());
                    let outcome = calling.catch_unwind().await.unwrap_or_else(failed);
                    (item, outcome)
                });
            }
            Effect::CallClientTool { item } => self.call_client_tool(at, item),
            Effect::Ask { question, request } => self.send_question(question, *request),
            Effect::Settle { question, outcome } => self.settle(question, outcome),
            Effect::Waits { waits } => self.tell_waits(waits),
            Effect::CancelTools => self.tools.shutdown().await,
            Effect::Idle { seen } => {
                let (thread, generation) = (self.caller.thread, self.caller.generation);
                self.caller.house.tell(server::Event::Idle { thread, generation, seen });
            }
        }
    }

    pub(super) fn materialized(&self) {
        let (thread, generation) = (self.caller.thread, self.caller.generation);
        if !self.meta.ephemeral {
            self.caller.house.tell(server::Event::Materialized { thread, generation });
        }
    }

    /// Tells the subscribers.
    pub(super) fn notify(&mut self, notification: Notification) {
        let at = self.caller.shared.clock.unix_ms();
        let place = self.stream.tell(&notification);
        if self.subscribers.is_empty() {
            return;
        }
        let raw = self.subscribers.want_raw();
        let (before, after) = match raw {
            true => (raw::before(&notification), raw::after(&notification)),
            false => (None, None),
        };
        let tell_raw = |raw: Option<Notification>, to: &Subscribers| {
            raw.into_iter().for_each(|raw| to.tell_raw(&event::Event::notice(raw, at)));
        };
        tell_raw(before, &self.subscribers);
        match (place, notification) {
            (Some(place), notification) => {
                let position = self.subscribers.want_positions().then(|| self.positions().of(place));
                let placed = event::Event::placed(notification, at, position);
                self.subscribers.tell(&placed, &self.stream);
            }
            (None, Notification::ServerRequestResolved(resolved)) => self.tell_resolved(resolved, at),
            // Who lags hears of the failure with its turn's end, and needs to hear of no retry.
            (None, error @ Notification::Error(_)) => {
                self.subscribers.tell_prompt(&event::Event::notice(error, at));
            }
            (None, notice) => self.subscribers.notice(&event::Event::notice(notice, at)),
        }
        tell_raw(after, &self.subscribers);
    }

    pub(super) fn tell_status(&self, status: ThreadStatus) {
        let shared = &self.caller.shared;
        shared.statuses.set(self.meta.id, status.clone());
        let thread_id = self.meta.id.to_string();
        let changed = ThreadStatusChangedNotification { thread_id, status };
        shared.announce(Notification::ThreadStatusChanged(changed));
    }

    pub(super) fn policy(&self) -> Policy {
        Policy::new(&self.meta.settings, self.is_offline())
    }

    fn is_offline(&self) -> bool {
        let config = self.caller.shared.config();
        config.model_providers.get(&self.meta.model_provider).is_some_and(|p| p.wire_api == WireApi::Offline)
    }

    async fn call_model(&mut self, call: u64) {
        let manner = self.manner();
        let saying = match (self.provider(&manner), self.log.conversation(0).await) {
            (Ok(provider), Ok(conversation)) => {
                let input = context::input(conversation, &provider.id);
                model_call::call(self.asking(manner, provider, input))
            }
            (Err(message), _) | (_, Err(message)) => model_call::failed(message),
        };
        self.saying = Some((call, saying));
    }

    /// The provider of a turn. The error is for people.
    pub(super) fn provider(&self, manner: &Manner) -> Result<ProviderConfig, String> {
        let id = &manner.provider;
        let provider = self.caller.shared.config().model_providers.get(id).cloned();
        provider.ok_or_else(|| {
            format!(
                "no model provider '{id}' is configured any more; add [model_providers.{id}] to the config"
            )
        })
    }

    /// What the model is asked, in this turn's way.
    pub(super) fn asking(&self, manner: Manner, provider: ProviderConfig, input: Vec<InputItem>) -> Asking {
        let Manner { model, settings, schema, .. } = manner;
        let Settings { base_instructions, developer_instructions, effort, summary, context_window, .. } =
            settings;
        let instructions: Vec<_> =
            [base_instructions, developer_instructions].into_iter().flatten().collect();
        let window = context_window.or(self.caller.shared.config().model_context_window);
        Asking {
            caller: self.caller.clone(),
            provider,
            model,
            instructions: instructions.join("\n\n"),
            input,
            with_tools: true,
            effort,
            summary,
            schema,
            window: window.map(i64::from),
        }
    }

    /// Starts the helpers that start with their thread. One that is running already is left alone.
    pub(super) fn start_eager(&mut self) {
        let config = self.caller.shared.config();
        for (server, _) in config
            .enabled_servers()
            .filter(|(name, server)| server.start == Start::Eager && self.caller.has(name))
        {
            let (caller, server) = (self.caller.clone(), server.clone());
            self.errands.spawn(async move {
                // How it went is told by `mcpServer/startupStatus/updated`.
                if let Err(error) = caller.session(&server).await {
                    tracing::debug!(error, "an eager helper did not start");
                }
            });
        }
    }
}

/// The beginning of what the user said.
pub(super) fn preview(input: &[UserInput]) -> String {
    let text = input.iter().find_map(|input| match input {
        UserInput::Text { text, .. } => Some(text.trim()),
        _ => None,
    });
    text.unwrap_or_default().chars().take(PREVIEW).collect()
}
