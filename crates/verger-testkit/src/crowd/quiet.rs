//! At rest: every turn has ended, everyone has heard everything, and what they know is compared.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::chronicle::Verdict;
use super::member::{LIMIT, Member};
use super::step::Place;
use super::texts::is_endless;
use super::turns::Turns;
use super::view::View;
use super::world::{Broken, Topic, World};
use crate::client::NoResult;

/// How often what comes late (a turn whose client is gone) may disturb a rest.
const ROUNDS: usize = 40;

/// How long a view may be behind its scribe's before the scribe is looked at again.
const A_WHILE: Duration = Duration::from_secs(2);

impl World {
    /// Lets everything come to rest, and compares everything: members with scribes, and those with what is kept.
    pub(super) async fn rest(&mut self) -> Result<(), Broken> {
        self.tally.rests += 1;
        for member in self.members.iter_mut().filter(|member| member.is_stalled()) {
            if self.rng.u32(0..4) == 0 { member.leave().await } else { member.read_on() }
        }
        for round in 0.. {
            let differing = self.settled().await;
            let noticed = self.noticed().await;
            self.judge(noticed)?;
            if differing.is_empty() {
                break;
            }
            if round == ROUNDS {
                let late = differing.into_iter().map(|fault| format!("at rest: {fault}")).collect();
                self.judge(late)?;
            }
        }
        let mut faults = self.beside_scribes();
        for topic in &mut self.topics {
            match kept(topic, &self.members).await {
                Ok((fault, acknowledged)) => {
                    faults.extend(fault);
                    self.tally.acknowledged += acknowledged;
                }
                Err(error) => faults.push(format!("{}: it cannot be read: {error}", topic.thread)),
            }
        }
        self.judge(faults)?;
        self.retire().await?;
        self.fill().await
    }

    /// Everyone leaves every thread, which then unloads; scribes follow them again from where they were.
    pub(super) async fn empty(&mut self) -> Result<(), Broken> {
        let mut faults = Vec::new();
        for topic in &mut self.topics {
            let followers = self.members.iter_mut().filter(|member| member.follows(&topic.thread));
            let gone = join_all(followers.map(|member| member.unfollow(&topic.thread))).await;
            // A connection that was lost follows nothing any more.
            faults.extend(gone.into_iter().filter_map(|gone| match gone {
                Ok(()) | Err(NoResult::Closed) => None,
                Err(error) => Some(error.to_string()),
            }));
        }
        let emptying = self.topics.iter_mut().map(async |topic| {
            emptied(topic).await.map_err(|error| format!("{}: left by all, {error}", topic.thread))
        });
        for left in join_all(emptying).await {
            match left {
                Ok(()) => self.tally.emptied += 1,
                Err(fault) => faults.push(fault),
            }
        }
        let noticed = self.noticed().await;
        faults.extend(noticed);
        self.judge(faults)
    }

    /// Scribes follow their threads again from where they were.
    pub(super) async fn return_scribes(&mut self) -> Result<(), Broken> {
        let mut faults = Vec::new();
        for topic in &mut self.topics {
            let back = returned(topic, &self.direct).await;
            faults.extend(
                back.err().map(|error| format!("{}: the scribe cannot return: {error}", topic.thread)),
            );
        }
        self.judge(faults)
    }

    /// Waits until nothing runs and everyone has heard of it; who has not, in words.
    async fn settled(&mut self) -> Vec<String> {
        let (direct, members) = (&self.direct, &self.members);
        let resting = self.topics.iter_mut().map(async |topic| {
            if let Err(error) = knows_of_all(topic, members).await {
                return Some(format!("{}: a turn that was acknowledged is not told: {error}", topic.thread));
            }
            rested(topic, direct)
                .await
                .err()
                .map(|error| format!("{}: a turn goes on: {error}", topic.thread))
        });
        let mut differing: Vec<String> = join_all(resting).await.into_iter().flatten().collect();
        let (topics, rng) = (&self.topics, &mut self.rng);
        let waiting = self.members.iter_mut().map(|member| {
            let recover = rng.bool();
            async move {
                let mut behind = Vec::new();
                for topic in topics.iter().filter(|topic| !topic.thread.is_empty()) {
                    if member.follows(&topic.thread) {
                        behind.extend(caught_up(member, topic, recover).await);
                    }
                }
                behind
            }
        });
        differing.extend(join_all(waiting).await.into_iter().flatten());
        differing
    }

    /// Compares every view, also of those who left, with what its scribe knows of that moment.
    fn beside_scribes(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for topic in &self.topics {
            for member in &self.members {
                let beside = |view: &View| topic.scribe.view(&topic.thread, |scribe| view.beside(scribe));
                let Some(Some(verdict)) = member.view(&topic.thread, beside) else { continue };
                self.tally.compared += 1;
                match verdict {
                    Verdict::Same => {
                        member.view_mut(&topic.thread, View::settle);
                    }
                    Verdict::Unknown => self.tally.unknown += 1,
                    Verdict::Different(fault) => {
                        faults.push(format!("{}: {}: {fault}", member.name, topic.thread));
                        let last =
                            |view: &View| view.last().map(|event| format!("  {event}")).collect::<Vec<_>>();
                        faults.extend(member.view(&topic.thread, last).into_iter().flatten());
                    }
                }
            }
        }
        faults
    }

    /// Leaves threads that have become long for good, and sometimes takes up a fork of one in their place.
    async fn retire(&mut self) -> Result<(), Broken> {
        let mut faults = Vec::new();
        for place in (0..self.topics.len()).rev() {
            let topic = &self.topics[place];
            let turns = topic.scribe.view(&topic.thread, |view| view.turns().len()).unwrap_or_default();
            if turns <= self.plan.turns && self.rng.u32(0..20) > 0 {
                continue;
            }
            let is_long = turns > self.plan.turns;
            let mut topic = self.topics.remove(place);
            let followers = self.members.iter_mut().filter(|member| member.follows(&topic.thread));
            for left in join_all(followers.map(|member| member.unfollow(&topic.thread))).await {
                faults.extend(
                    left.err().filter(|error| *error != NoResult::Closed).map(|error| error.to_string()),
                );
            }
            for member in &self.members {
                member.forget(&topic.thread);
            }
            if is_long {
                let left = emptied(&mut topic).await;
                faults.extend(left.err().map(|error| format!("{}: left for good, {error}", topic.thread)));
                continue;
            }
            match forked(&mut topic).await {
                Ok(fault) => {
                    faults.extend(fault);
                    self.topics.push(topic);
                }
                Err(error) => faults.push(format!("{}: no fork: {error}", topic.thread)),
            }
        }
        let noticed = self.noticed().await;
        faults.extend(noticed);
        self.judge(faults)
    }
}

/// Waits until the scribe was told of every turn that was acknowledged.
async fn knows_of_all(topic: &Topic, members: &[Member]) -> Result<(), NoResult> {
    if topic.reverted {
        return Ok(());
    }
    let acknowledged: BTreeSet<String> = {
        let of = |member: &Member| member.view(&topic.thread, |view| view.acknowledged.clone());
        members.iter().chain([&topic.scribe]).filter_map(of).flatten().collect()
    };
    let knows = |view: &View| acknowledged.iter().all(|turn| view.turns().get(turn).is_some()).then_some(());
    topic.scribe.until("turn/started", &topic.thread, LIMIT, knows).await
}

/// Waits until the thread's last turn has ended, answering what is asked and ending what would go on.
async fn rested(topic: &mut Topic, direct: &Place) -> Result<(), NoResult> {
    enum Next {
        Rest,
        Answer(u64),
        Interrupt(String),
    }
    let thread = topic.thread.clone();
    if topic.reverted || topic.scribe.view(&thread, View::is_stale) == Some(true) {
        // Only a snapshot says what is left.
        topic.scribe.follow(&thread, None).await?;
    }
    let mut done = BTreeSet::new();
    loop {
        let look = |view: &View| {
            if let Some((id, _)) = view.questions().open().find(|(id, _)| !done.contains(&id.to_string())) {
                return Some(Next::Answer(id));
            }
            let Some((turn, mut items)) = view.turns().running() else { return Some(Next::Rest) };
            (items.any(is_endless) && !done.contains(turn)).then(|| Next::Interrupt(turn.to_owned()))
        };
        let next = topic.scribe.until("end of the turn", &thread, LIMIT, look).await?;
        match next {
            Next::Rest => return Ok(()),
            Next::Answer(id) => {
                done.insert(id.to_string());
                topic.scribe.reply(id, json!({ "result": { "action": "accept", "content": {} } })).await?;
            }
            Next::Interrupt(turn) => {
                done.insert(turn.clone());
                let step = super::step::Step::Interrupt { thread: thread.clone(), turn };
                match topic.scribe.perform(step, direct).await {
                    // It may have ended by itself.
                    Ok(()) | Err(NoResult::Refused { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Waits until a member knows what the scribe does; if not, how it differs.
async fn caught_up(member: &mut Member, topic: &Topic, recover: bool) -> Option<String> {
    let thread = &topic.thread;
    if topic.reverted || member.view(thread, View::is_stale) == Some(true) {
        let since = if recover { member.place(thread) } else { None };
        match member.follow(thread, since).await {
            Ok(()) => {}
            Err(NoResult::Closed) => return None,
            Err(error) => return Some(format!("{}: {thread}: {error}", member.name)),
        }
    }
    let compare = |view: &View| topic.scribe.view(thread, |scribe| view.against(scribe)).flatten();
    let same = |view: &View| compare(view).is_none().then_some(());
    match member.until("the same as the scribe", thread, A_WHILE, same).await {
        Ok(()) | Err(NoResult::Closed) => None,
        Err(_) => {
            let last = |view: &View| view.last().map(|event| format!("\n    {event}")).collect::<String>();
            let difference = member.view(thread, compare).flatten()?;
            let told = member.view(thread, last).unwrap_or_default();
            Some(format!("{}: {thread}: {difference}{told}", member.name))
        }
    }
}

/// Compares what is kept with what the scribe knows, and with what was acknowledged.
async fn kept(topic: &mut Topic, members: &[Member]) -> Result<(Option<String>, u64), NoResult> {
    let thread = topic.thread.clone();
    let kept = Turns::of_snapshot(&topic.scribe.kept(&thread).await?);
    let differ = topic.scribe.view(&thread, |view| view.turns().against(&kept, false)).flatten();
    let mut fault =
        differ.map(|difference| format!("{thread}: the scribe beside what is kept: {difference}"));
    let ids: BTreeSet<&str> = kept.ids().collect();
    let mut found = 0;
    for member in members.iter().chain([&topic.scribe]) {
        member.view_mut(&thread, |view| {
            let lost = view.acknowledged.iter().find(|turn| !ids.contains(turn.as_str()));
            if let Some(lost) = lost.filter(|_| !topic.reverted) {
                fault =
                    Some(format!("{}: {thread}: turn {lost} was acknowledged and is not kept", member.name));
            }
            found += view.acknowledged.len() as u64;
            // Found once, it is looked for again with the next comparison of all turns.
            view.acknowledged.clear();
        });
    }
    topic.reverted = false;
    Ok((fault, found))
}

/// The scribe leaves too: then nobody is left, and the thread is unloaded.
async fn emptied(topic: &mut Topic) -> Result<(), NoResult> {
    let thread = topic.thread.clone();
    let before = topic.scribe.view(&thread, View::closings).unwrap_or_default();
    topic.scribe.unfollow(&thread).await?;
    // A client that Verger cut is waited for before its thread is left.
    let limit = LIMIT * 3;
    let closed = |view: &View| (view.closings() > before).then_some(());
    topic.scribe.until("thread/closed", &thread, limit, closed).await
}

async fn returned(topic: &mut Topic, direct: &Place) -> Result<(), NoResult> {
    if !topic.scribe.is_connected() {
        topic.scribe.come(&direct.url, direct.life).await?;
    }
    let thread = topic.thread.clone();
    let place = topic.scribe.place(&thread);
    topic.scribe.follow(&thread, place).await
}

/// Goes on with a fork, which knows what its thread did.
async fn forked(topic: &mut Topic) -> Result<Option<String>, NoResult> {
    let original = topic.thread.clone();
    let fork = topic.scribe.fork(&original).await?;
    emptied(topic).await?;
    let turns = topic.scribe.view(&original, |view| view.turns().clone()).unwrap_or_default();
    let fault = topic.scribe.view(&fork, |view| view.turns().against(&turns, false)).flatten();
    topic.scribe.forget(&original);
    topic.thread = fork;
    Ok(fault.map(|fault| format!("{}: a fork of {original}: {fault}", topic.thread)))
}
