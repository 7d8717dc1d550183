use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use steadfast_backend::{BackendInfo, ManualClock, Result};

use crate::case::{Case, Need};
use crate::context::Context;
use crate::failure::{Failure, Outcome, fail};
use crate::{Place, Stored, Subject, cases};

/// Long enough for a slow disk; a case that takes longer hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);
/// Some day in 2023: real enough for clock versions, and never "now" by accident.
const START_US: u64 = 1_700_000_000_000_000;
const MODEL_OPS: usize = 10_000;

pub(crate) type OpenStored = Arc<dyn Fn(&Place) -> io::Result<Box<dyn Stored>> + Send + Sync>;
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Subject>> + Send>>;

/// All cases for one backend. See the [crate](crate) page for a whole example.
///
/// ```
/// use steadfast_backend::{Backend, ManualClock};
/// use steadfast_conformance::{ModelBackend, Suite, Verdict};
///
/// let declared = ModelBackend::with_clock(ManualClock::at_us(1)).info().clone();
/// let suite =
///     Suite::new(declared, |place| async move { Ok(ModelBackend::with_clock(place.clock)) });
/// let reports = suite.only("read::").report();
/// assert!(reports.iter().all(|report| report.verdict == Verdict::Passed));
/// ```
#[derive(Clone)]
pub struct Suite {
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) declared: BackendInfo,
    pub(crate) open: Arc<dyn Fn(Place) -> Opening + Send + Sync>,
    pub(crate) real_time: bool,
    pub(crate) stored: Option<OpenStored>,
    pub(crate) secrets: Vec<String>,
    pub(crate) model_ops: usize,
    pub(crate) model_seed: Option<u64>,
    pub(crate) keep_failures: bool,
    only: &'static str,
    missing: Option<&'static str>,
}

/// The verdict on one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `family::what_holds`.
    pub case: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The backend does not do what the case demands; the text says what was found.
    Failed(String),
    /// The case was not run; the text says what it needs.
    Ignored(&'static str),
    /// The backend does what the case demands.
    Passed,
}

impl Suite {
    /// A suite for a backend that declares this and is opened like that.
    ///
    /// The harness must open a backend that is usable at once. It is called once per case, and
    /// again at the same place where a case closes and reopens its backend.
    pub fn new<Open, Opened, Backend>(declared: BackendInfo, open: Open) -> Self
    where
        Open: Fn(Place) -> Opened + Send + Sync + 'static,
        Opened: Future<Output = Result<Backend>> + Send + 'static,
        Backend: Into<Subject>,
    {
        let open = move |place| -> Opening {
            let opened = open(place);
            Box::pin(async move { opened.await.map(Into::into) })
        };
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let settings = Settings {
            declared,
            open: Arc::new(open),
            real_time: false,
            stored: None,
            secrets: Vec::new(),
            model_ops: number("STEADFAST_MODEL_OPS")
                .and_then(|ops: u64| usize::try_from(ops).ok())
                .unwrap_or(MODEL_OPS),
            model_seed: number("STEADFAST_MODEL_SEED"),
            keep_failures: true,
            only: "",
            missing: None,
        };
        Self { settings: Arc::new(settings) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Says that the store has its own time, which the suite cannot move. Cases that would need
    /// long waits are ignored; a few short ones wait.
    #[must_use]
    pub fn on_real_time(self) -> Self {
        self.with(|settings| settings.real_time = true)
    }

    /// Names a text, such as the password in the URL, that the backend must never show.
    #[must_use]
    pub fn hiding(self, secret: impl Into<String>) -> Self {
        let secret = secret.into();
        self.with(|settings| settings.secrets.push(secret))
    }

    /// Lets the suite damage what is stored, past the backend: `open` gives the records of the
    /// store at a place, whose backend is closed until they are dropped. Without it the cases that
    /// need damage are ignored.
    #[must_use]
    pub fn damaged_by<Open, S>(self, open: Open) -> Self
    where
        Open: Fn(&Place) -> io::Result<S> + Send + Sync + 'static,
        S: Stored + 'static,
    {
        let open = move |place: &Place| open(place).map(|stored| Box::new(stored) as _);
        self.with(|settings| settings.stored = Some(Arc::new(open)))
    }

    /// Runs only the cases whose name contains this.
    #[must_use]
    pub fn only(self, part: &'static str) -> Self {
        self.with(|settings| settings.only = part)
    }

    /// Lists every case as ignored if there is a reason: what the machine lacks. The backend is
    /// then never opened.
    ///
    /// ```
    /// use steadfast_backend::{Backend, ManualClock};
    /// use steadfast_conformance::{ModelBackend, Suite, Verdict};
    ///
    /// let declared = ModelBackend::with_clock(ManualClock::at_us(1)).info().clone();
    /// let suite =
    ///     Suite::new(declared, |place| async move { Ok(ModelBackend::with_clock(place.clock)) });
    /// let missing = Some("needs a server"); // or `RedisServer::missing()`
    /// let reports = suite.ignored_if(missing).report();
    /// let ignored = Verdict::Ignored("needs a server");
    /// assert!(!reports.is_empty() && reports.iter().all(|report| report.verdict == ignored));
    /// ```
    #[must_use]
    pub fn ignored_if(self, missing: Option<&'static str>) -> Self {
        self.with(|settings| settings.missing = missing)
    }

    /// Makes the model case run about this many random operations, unless `STEADFAST_MODEL_OPS`
    /// says otherwise: where the same backend has run many already.
    #[must_use]
    pub fn model_ops(self, ops: usize) -> Self {
        self.with(|settings| {
            if std::env::var_os("STEADFAST_MODEL_OPS").is_none() {
                settings.model_ops = ops;
            }
        })
    }

    /// Makes the model case the same every time, with this seed and about this many operations,
    /// and without a file of past failures.
    #[must_use]
    pub fn with_fixed_model(self, seed: u64, ops: usize) -> Self {
        self.with(|settings| {
            settings.model_seed = Some(seed);
            settings.model_ops = ops;
            settings.keep_failures = false;
        })
    }

    /// Runs the suite as `cargo test` does, by the arguments of this process.
    pub fn run(self) -> ExitCode {
        let trials = self.cases().map(|case| self.trial(case)).collect();
        libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
    }

    /// Runs every case in turn and returns the verdicts.
    pub fn report(&self) -> Vec<Report> {
        let report = |case: Case| {
            let verdict = match self.unmet(case) {
                Some(need) => Verdict::Ignored(need),
                None => match run_case(case, &self.settings) {
                    Ok(()) => Verdict::Passed,
                    Err(Failure(text)) => Verdict::Failed(text),
                },
            };
            Report { case: case.name, verdict }
        };
        self.cases().map(report).collect()
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        let only = self.settings.only;
        cases::all().filter(move |case| case.name.contains(only))
    }

    /// What the case needs and cannot have.
    fn unmet(&self, case: Case) -> Option<&'static str> {
        self.settings.missing.or_else(|| case.unmet(&self.settings).map(Need::text))
    }

    fn trial(&self, case: Case) -> Trial {
        let settings = Arc::clone(&self.settings);
        let run = move || run_case(case, &settings).map_err(|Failure(text)| Failed::from(text));
        let trial = Trial::test(case.name, run);
        match self.unmet(case) {
            Some(need) => trial.with_kind(need).with_ignored_flag(true),
            None => trial,
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("declared", &self.settings.declared)
            .field("real_time", &self.settings.real_time)
            .finish_non_exhaustive()
    }
}

/// Gives the case a runtime and a place of its own.
fn run_case(case: Case, settings: &Arc<Settings>) -> Outcome {
    let io = |error: std::io::Error| Failure(format!("the suite itself failed: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(io)?;
    let dir = tempfile::tempdir().map_err(io)?;
    let place = Place { clock: ManualClock::at_us(START_US), dir: dir.path().to_owned() };
    runtime.block_on(async {
        let mut context = Context::open(place, Arc::clone(settings)).await?;
        // A task of its own, so that a panic in the backend is this case's failure only.
        let mut running = tokio::spawn(async move {
            let outcome = (case.run)(&mut context).await;
            let closed = context.backend.close().await.map_err(Failure::from);
            outcome.and(closed)
        });
        let Ok(joined) = tokio::time::timeout(CASE_TIMEOUT, &mut running).await else {
            running.abort();
            fail!("it hangs: no end after {CASE_TIMEOUT:?}")
        };
        joined?
    })
}
