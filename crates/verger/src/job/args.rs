//! What a person can type after `verger job`, and the definition that it makes.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use verger_wire::requests::JobNameParams;

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: JobCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// List jobs: when each is due next, and how it went last
    List,
    /// Show a job
    Show(NameArgs),
    /// List a job's runs, the newest first
    History(HistoryArgs),
    /// Say when a job is due next, in local time and in its own
    Next(NextArgs),
    /// Print what was said and done in a job's last run
    Logs(LogsArgs),
    /// Print what is said and done in the run that goes on, until it ends
    Tail(NameArgs),
    /// Add a job
    ///
    /// It is kept until it is removed, also when the server ends. Jobs can also be written in config.toml, as [jobs.NAME].
    Add(Box<AddArgs>),
    /// Change a job that was added
    ///
    /// What is not named stays. Runs that go on are not touched.
    Edit(Box<EditArgs>),
    /// Stop a job from coming due; what runs goes on
    Pause(NameArgs),
    /// Let a paused job come due again; what it has let pass is not run
    Resume(NameArgs),
    /// Run a job now
    Run(RunArgs),
    /// Stop a run; returns when its helpers are proven gone
    Cancel(CancelArgs),
    /// Remove a job that was added
    Rm(NameArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The job
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The job
    pub(super) name: String,
    /// How many runs at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(super) count: u32,
}

#[derive(Debug, Args)]
pub(super) struct NextArgs {
    /// The job
    pub(super) name: String,
    /// How many slots
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(super) count: u32,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The job
    pub(super) name: String,
    /// Of this run, by the number that `verger job history` shows
    #[arg(long, value_name = "ID")]
    pub(super) run: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The job
    pub(super) name: String,
    /// Return when the run has ended, with exit code 0 only if it succeeded
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The run, by the number that `verger job history` shows
    #[arg(value_name = "ID")]
    pub(super) run: u64,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Its name: 1 to 64 letters, digits, '-' and '_'
    pub(super) name: String,
    /// When it runs: cron ("0 9 * * MON-FRI"), @hourly, "every 10m", or "at 2030-01-31T09:00"
    #[arg(long, value_name = "WHEN")]
    schedule: String,
    #[command(flatten)]
    fields: FieldArgs,
}

#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// The job
    pub(super) name: String,
    /// When it runs: cron ("0 9 * * MON-FRI"), @hourly, "every 10m", or "at 2030-01-31T09:00"
    #[arg(long, value_name = "WHEN")]
    schedule: Option<String>,
    #[command(flatten)]
    fields: FieldArgs,
    /// Take a field away, by the name of its option, as in --unset max-runs; may be repeated
    #[arg(long, value_name = "FIELD", value_parser = PossibleValuesParser::new(OPTIONAL))]
    unset: Vec<String>,
}

/// The fields that a job can be without.
const OPTIONAL: [&str; 21] = [
    "timezone",
    "thread",
    "model",
    "model-provider",
    "effort",
    "cwd",
    "servers",
    "approval-policy",
    "sandbox",
    "timeout",
    "inactivity-timeout",
    "overlap",
    "missed",
    "grace",
    "jitter",
    "until",
    "max-runs",
    "retries",
    "retry-backoff",
    "keep",
    "notify",
];

/// All but the schedule.
#[derive(Debug, Args)]
struct FieldArgs {
    /// Whose clock on the wall the schedule means, as Europe/Berlin [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What the model is told
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The tool that is called instead, without a model
    #[arg(long, num_args = 2, value_names = ["SERVER", "TOOL"], conflicts_with = "prompt")]
    call: Option<Vec<String>>,
    /// What the tool is called with, a JSON object
    #[arg(long, value_name = "JSON", requires = "call", value_parser = object)]
    arguments: Option<Object>,
    /// Where the prompt is said: new (a thread for each run), same (one for all), or a thread's id [default: new]
    #[arg(long, value_name = "WHERE")]
    thread: Option<String>,
    /// The model
    #[arg(long)]
    model: Option<String>,
    /// Who serves the model, by the name in config.toml
    #[arg(long, value_name = "NAME")]
    model_provider: Option<String>,
    /// How hard the model thinks
    #[arg(long)]
    effort: Option<String>,
    /// Its working folder, an absolute path
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Only these MCP servers, with commas; '' for none
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    servers: Option<Vec<String>>,
    /// When somebody would be asked, so that the run fails [default: never]
    #[arg(long, value_name = "WHEN", value_parser = PossibleValuesParser::new(["untrusted", "on-request", "never"]))]
    approval_policy: Option<String>,
    /// What it may touch
    #[arg(
        long,
        value_name = "HOW",
        value_parser = PossibleValuesParser::new(["read-only", "workspace-write", "danger-full-access"])
    )]
    sandbox: Option<String>,
    /// How long a run may take, as 30m [default: 1h]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// How long nothing may be heard from it; 0s is for ever [default: 10m]
    #[arg(long, value_name = "DURATION")]
    inactivity_timeout: Option<String>,
    /// What becomes of a slot while an earlier run has not ended [default: skip]
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(["skip", "queue", "parallel"]))]
    overlap: Option<String>,
    /// What becomes of the slots for which no server was there [default: skip]
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(["skip", "run-once"]))]
    missed: Option<String>,
    /// How late a slot may be run, before it counts as missed [default: 1m]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Each slot is put off by a part of this [default: 0s]
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// The last moment at which it may have a slot, as 2030-01-31T09:00
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    /// So many of its slots are run at most
    #[arg(long, value_name = "N")]
    max_runs: Option<u64>,
    /// How often a run is tried again that failed or timed out [default: 0]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// How long after a failure; it doubles with each further one, up to an hour [default: 30s]
    #[arg(long, value_name = "DURATION")]
    retry_backoff: Option<String>,
    /// So many of its ended runs are kept [default: 50]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// A program that is told of the end of a run, and its arguments up to the end of the line, or to ';'
    #[arg(
        long,
        value_names = ["PROGRAM", "ARGUMENT"],
        num_args = 1..,
        value_terminator = ";",
        allow_hyphen_values = true,
        conflicts_with = "notify_url"
    )]
    notify_command: Option<Vec<String>>,
    /// An address that the end of a run is posted to
    #[arg(long, value_name = "URL")]
    notify_url: Option<String>,
    /// Of which ends [default: failure]
    #[arg(long, value_name = "WHICH", value_parser = PossibleValuesParser::new(["failure", "success", "both"]))]
    notify_on: Option<String>,
}

type Object = Map<String, Value>;

fn object(text: &str) -> Result<Object, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("no JSON object; write one like '{\"path\": \"/srv\"}'".into()),
        Err(cause) => Err(format!("no JSON: {cause}; write an object like '{{\"path\": \"/srv\"}}'")),
    }
}

// === impl NameArgs ===

impl NameArgs {
    pub(super) fn params(&self) -> JobNameParams {
        JobNameParams { name: self.name.clone() }
    }
}

// === impl AddArgs ===

impl AddArgs {
    /// The members of a `JobDefinition`. What they mean together is the server's to judge.
    ///
    /// # Errors
    /// Options that need others.
    pub(super) fn definition(&self) -> Result<Object, String> {
        let mut members = self.fields.members()?;
        members.insert("schedule".into(), self.schedule.clone().into());
        Ok(members)
    }
}

// === impl EditArgs ===

impl EditArgs {
    /// The members that change; `null` takes one away.
    ///
    /// # Errors
    /// Options that need others, or none at all.
    pub(super) fn changes(&self) -> Result<Object, String> {
        let mut members = self.fields.members()?;
        members.extend(self.schedule.clone().map(|schedule| ("schedule".to_owned(), schedule.into())));
        // A job does one thing: the other goes.
        for (new, old) in [("prompt", "call"), ("call", "prompt")] {
            if members.get(new).is_some_and(|value| !value.is_null()) {
                members.insert(old.into(), Value::Null);
            }
        }
        for field in &self.unset {
            let name = camel(field);
            if members.insert(name, Value::Null).is_some() {
                return Err(format!("--{field} and --unset {field} contradict each other; leave one out"));
            }
        }
        if members.is_empty() {
            let name = &self.name;
            return Err(format!(
                "nothing to change in job '{name}'; say what, as in --schedule \"every 10m\""
            ));
        }
        Ok(members)
    }
}

// === impl FieldArgs ===

impl FieldArgs {
    /// What was given, as the wire spells it.
    fn members(&self) -> Result<Object, String> {
        let missed = self.missed.as_deref().map(camel);
        let servers = self
            .servers
            .as_ref()
            .map(|names| names.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>());
        let members = [
            ("timezone", json!(self.timezone)),
            ("prompt", json!(self.prompt)),
            ("call", json!(self.call())),
            ("thread", json!(self.thread)),
            ("model", json!(self.model)),
            ("modelProvider", json!(self.model_provider)),
            ("effort", json!(self.effort)),
            ("cwd", json!(self.cwd)),
            ("servers", json!(servers)),
            ("approvalPolicy", json!(self.approval_policy)),
            ("sandbox", json!(self.sandbox)),
            ("timeout", json!(self.timeout)),
            ("inactivityTimeout", json!(self.inactivity_timeout)),
            ("overlap", json!(self.overlap)),
            ("missed", json!(missed)),
            ("grace", json!(self.grace)),
            ("jitter", json!(self.jitter)),
            ("until", json!(self.until)),
            ("maxRuns", json!(self.max_runs)),
            ("retries", json!(self.retries)),
            ("retryBackoff", json!(self.retry_backoff)),
            ("keep", json!(self.keep)),
            ("notify", json!(self.notify()?)),
        ];
        let given = members.into_iter().filter(|(_, value)| !value.is_null());
        Ok(given.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn call(&self) -> Option<Value> {
        let [server, tool] = self.call.as_deref()? else { return None };
        let mut call = json!({ "server": server, "tool": tool });
        if let Some(arguments) = &self.arguments {
            call["arguments"] = arguments.clone().into();
        }
        Some(call)
    }

    fn notify(&self) -> Result<Option<Value>, String> {
        let mut notify = match (&self.notify_command, &self.notify_url, &self.notify_on) {
            (Some(command), ..) => json!({ "command": command }),
            (None, Some(url), _) => json!({ "url": url }),
            (None, None, None) => return Ok(None),
            (None, None, Some(_)) => {
                return Err("--notify-on: say who is told, too, by --notify-command or --notify-url".into());
            }
        };
        if let Some(on) = &self.notify_on {
            notify["on"] = on.as_str().into();
        }
        Ok(Some(notify))
    }
}

/// `max-runs` as `maxRuns`.
fn camel(kebab: &str) -> String {
    let mut words = kebab.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        name + &letters
            .next()
            .map(|letter| letter.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect::<String>()
    })
}
