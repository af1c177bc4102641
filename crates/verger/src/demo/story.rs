//! What the demo shows, act by act.

use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;
use verger_reaper::Reaper;

use super::choice::{Tool, choose};
use super::kernel::{below, survivors};
use super::server::Server;
use super::table::{Alive, HEADS, LEGEND, Switch, millis, seconds};
use super::visitor::Visitor;
use super::{Verdict, kernel};
use crate::cli::DemoArgs;
use crate::serve::Failure;

/// How long processes may take to be gone before they count as survivors.
const LIMIT: Duration = Duration::from_secs(10);

/// How many threads are open when the server is killed.
const OPEN_AT_CRASH: usize = 3;

/// How many threads are saved at the same time: starting a helper may take a second and 100 MB.
const SAVED_AT_ONCE: usize = 5;

/// The demo so far.
struct Story<'a> {
    folder: &'a Path,
    reaper: &'a Reaper,
    tool: Tool,
    /// The saved threads, and what was said in each.
    threads: Vec<(String, String)>,
    problems: Vec<String>,
}

/// Tells everything.
pub(super) async fn tell(args: &DemoArgs, folder: &Path, reaper: &Reaper) -> Result<Verdict, Failure> {
    let began = Instant::now();
    let server = Server::start(reaper, folder).await?;
    println!(
        "server  pid {}, ready after {}, home {}/home",
        server.pid,
        millis(began.elapsed()),
        folder.display()
    );
    println!("        helpers contained by: {}", server.containment);
    let tool = choose(args.helper, folder, reaper, &server).await?;
    let mut story = Story { folder, reaper, tool, threads: Vec::new(), problems: Vec::new() };
    let count = usize::from(args.threads);

    let part = Instant::now();
    story.save(&server, count).await?;
    println!(
        "save    {count} threads saved, each with a turn that called a tool ({})",
        seconds(part.elapsed())
    );

    let part = Instant::now();
    println!("switch  {count} times: open a thread over WebSocket, use its tool, leave\n{LEGEND}\n{HEADS}");
    for number in 1..=count {
        let switch = story.switch(&server, number).await?;
        println!("{switch}");
        if switch.left != Alive::default() {
            story.problem(format!("switch {number} left something alive"));
        }
    }
    println!("        {count} switches took {}", seconds(part.elapsed()));

    let part = Instant::now();
    let (noted, alive) = story.crash(server).await?;
    let found = story.restart().await?;
    println!("        crash and restart took {}", seconds(part.elapsed()));
    println!("        all of it took {}", seconds(began.elapsed()));
    let shown = format!(
        "{count} switches left nothing alive; SIGKILL of the server left {alive} of {noted} processes; \
         {found} of {count} threads are there"
    );
    Ok(Verdict { shown, problems: story.problems })
}

impl Story<'_> {
    fn problem(&mut self, problem: String) {
        println!("        PROBLEM: {problem}");
        self.problems.push(problem);
    }

    /// One client a thread: begin, one turn, leave.
    async fn save(&mut self, server: &Server, count: usize) -> Result<(), Failure> {
        let words: Vec<_> = (1..=count).map(|number| format!("hello {number}")).collect();
        for words in words.chunks(SAVED_AT_ONCE) {
            let saving = words.iter().map(|word| save_one(server, &self.tool, word));
            self.threads.extend(try_join_all(saving).await?);
        }
        Ok(())
    }

    async fn switch(&mut self, server: &Server, number: usize) -> Result<Switch, Failure> {
        let (thread, word) = self.threads[number - 1].clone();
        let mut observer = Visitor::arrive(server).await?;
        let began = Instant::now();
        let mut visitor = Visitor::arrive(server).await?;
        visitor.ask("thread/resume", json!({"threadId": thread})).await?;
        let open = began.elapsed();
        visitor.call(&thread, &self.tool, &word).await?;
        let call = began.elapsed() - open;
        let processes = below(server.pid);
        let used = Alive::new(&observer.ps().await?, processes.len());
        if !processes.iter().any(|process| !process.is_shim()) {
            self.problem(format!("switch {number}: no helper was alive, so nothing is shown"));
        }

        let left = Instant::now();
        visitor.leave().await;
        let (alive, closed) =
            tokio::join!(survivors(processes, LIMIT), observer.hear("thread/closed", &thread));
        let gone = left.elapsed();
        for command in alive? {
            self.problem(format!("switch {number}: alive after {LIMIT:?}: {command}"));
        }
        closed?;
        let left = Alive::new(&observer.ps().await?, below(server.pid).len());
        observer.leave().await;
        Ok(Switch { number, open, call, used, gone, left })
    }

    /// Kills the server while helpers are alive; returns how many processes there were, and how many are left.
    async fn crash(&mut self, server: Server) -> Result<(usize, usize), Failure> {
        let mut visitors = Vec::new();
        for (thread, word) in self.threads.iter().take(OPEN_AT_CRASH) {
            let mut visitor = Visitor::arrive(&server).await?;
            visitor.ask("thread/resume", json!({"threadId": thread})).await?;
            visitor.call(thread, &self.tool, word).await?;
            visitors.push(visitor);
        }
        let processes = below(server.pid);
        let (noted, shims) = (processes.len(), processes.iter().filter(|process| process.is_shim()).count());
        println!(
            "crash   SIGKILL of the server, pid {}, with {} threads open and {noted} processes below it ({shims} shims)",
            server.pid,
            visitors.len(),
        );
        if noted == shims {
            self.problem("no helper was alive at the crash, so nothing is shown".to_owned());
        }
        let killed = Instant::now();
        let (alive, ended) = tokio::join!(survivors(processes, LIMIT), server.end(Signal::KILL));
        let gone = killed.elapsed();
        let (alive, ended) = (alive?, ended?);
        println!(
            "        survivors: {} of {noted}, {} after the kill ({}); by pidfds taken before, and by ECHILD of",
            alive.len(),
            millis(gone),
            ended.how,
        );
        println!(
            "        the server's parent, a subreaper: {} process(es) came to it, and all have ended by themselves",
            ended.orphans
        );
        for command in &alive {
            self.problem(format!("alive {LIMIT:?} after the server was killed: {command}"));
        }
        if ended.how != "signal 9" {
            self.problem(format!("the server ended with {} before it could be killed", ended.how));
        }
        Ok((noted, alive.len()))
    }

    /// Starts the server again; returns how many threads are there with everything that was said and done.
    async fn restart(&mut self) -> Result<usize, Failure> {
        let began = Instant::now();
        let server = Server::start(self.reaper, self.folder).await?;
        println!("again   pid {}, ready after {}", server.pid, millis(began.elapsed()));
        let mut visitor = Visitor::arrive(&server).await?;
        let listed = visitor.ask("thread/list", json!({"limit": 100})).await?;
        let listed = listed["data"].as_array().map_or(0, Vec::len);
        let mut found = 0;
        for (thread, word) in self.threads.clone() {
            let read = visitor.ask("thread/read", json!({"threadId": thread, "includeTurns": true})).await?;
            if is_whole(&read["thread"], &self.tool, &word) {
                found += 1;
            } else {
                self.problem(format!("thread {thread} is not whole: {read}"));
            }
        }
        visitor.leave().await;
        let count = self.threads.len();
        println!(
            "        {listed} threads listed, {found} of {count} read back whole: message, tool call and answer"
        );
        if listed != count {
            self.problem(format!("{listed} threads are listed, {count} were saved"));
        }
        let switch = self.switch(&server, 1).await?;
        println!(
            "        thread 1 opened, used and left: {} processes in use, {} after",
            switch.used.kernel, switch.left.kernel
        );
        if switch.left != Alive::default() {
            self.problem("the thread left something alive after the restart".to_owned());
        }
        let asked = Instant::now();
        let ended = kernel::within("SIGTERM of the server", LIMIT, server.end(Signal::TERM)).await??;
        if let Some(swept) = &ended.swept {
            self.problem(format!("the new server found leftovers: {swept}"));
        }
        println!(
            "end     SIGTERM: {} after {}, {} orphans",
            ended.how,
            millis(asked.elapsed()),
            ended.orphans
        );
        if ended.how != "exit 0" || ended.orphans > 0 {
            self.problem(format!(
                "SIGTERM ended the server with {} and {} orphans",
                ended.how, ended.orphans
            ));
        }
        Ok(found)
    }
}

async fn save_one(server: &Server, tool: &Tool, word: &str) -> Result<(String, String), Failure> {
    let mut visitor = Visitor::arrive(server).await?;
    let thread = visitor.begin().await?;
    visitor.turn(&thread, tool, word).await?;
    let mut observer = Visitor::arrive(server).await?;
    visitor.leave().await;
    observer.hear("thread/closed", &thread).await?;
    observer.leave().await;
    Ok((thread, word.to_owned()))
}

/// Whether a saved thread has its one turn, completed, with the tool's own answer.
fn is_whole(thread: &Value, tool: &Tool, word: &str) -> bool {
    let turn = &thread["turns"][0];
    let items = turn["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |kind: &str| items.iter().find(|item| item["type"] == kind).unwrap_or(&Value::Null);
    let answered = |text: &Value| text.as_str().is_some_and(|text| tool.is_answer(text, word));
    turn["status"] == "completed"
        && of("userMessage")["content"][0]["text"].as_str().is_some_and(|text| text.starts_with("/call"))
        && answered(&of("mcpToolCall")["result"]["content"][0]["text"])
        && answered(&of("agentMessage")["text"])
}
