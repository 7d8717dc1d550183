//! The first contact with the servers. Until it is made, no call goes to them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadfast_backend::ErrorKind;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::RedisConfig;
use crate::error::{Fault, Outcome};
use crate::pace::REJECTED;
use crate::probe::{self, Found};
use crate::router::Router;
use crate::task::Task;

/// How often servers are looked for that are not there. The attempts to connect have a pace of
/// their own.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Contact {
    found: Arc<OnceLock<Found>>,
    /// Why the last attempt failed; wakes those that wait.
    failed: watch::Receiver<Option<Fault>>,
    looking: Option<Task>,
}

impl Contact {
    /// It was made before.
    pub(crate) fn made(found: Found) -> Self {
        let found = Arc::new(OnceLock::from(found));
        Self { found, failed: watch::Sender::new(None).subscribe(), looking: None }
    }

    /// Begins to look for the servers. What they warn of goes to `warn`.
    pub(crate) fn begin(
        config: &Arc<RedisConfig>,
        router: &Arc<Router>,
        warn: impl Fn(&[String]) + Send + 'static,
    ) -> Self {
        let found = Arc::new(OnceLock::new());
        let (failures, failed) = watch::channel(None);
        let (router, config) = (Arc::clone(router), Arc::clone(config));
        let seen = Arc::clone(&found);
        let looking = Task::spawn(async move {
            let found = look_for(&router, &config, &failures).await;
            warn(&found.warnings);
            // It is set but once; dropping the sender wakes those that wait.
            let _ = seen.set(found);
        });
        Self { found, failed, looking: Some(looking) }
    }

    /// Waits for the contact, until the attempt that is under way has failed.
    pub(crate) async fn found(&self) -> Outcome<&Found> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let mut failed = self.failed.clone();
        let fault = failed.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone());
        match (self.found.get(), fault) {
            (Some(found), _) => Ok(found),
            (None, Some(fault)) => Err(never(fault)),
            (None, None) => {
                let detail = "the backend was closed";
                Err(Fault::new(ErrorKind::Closed, detail).untouched())
            }
        }
    }

    pub(crate) fn is_made(&self) -> bool {
        self.found.get().is_some()
    }

    /// Looks no longer.
    pub(crate) fn close(&self) {
        if let Some(looking) = &self.looking {
            looking.end();
        }
    }
}

/// Nothing was done before there was a connection.
fn never(fault: Fault) -> Fault {
    Fault { detail: format!("never connected: {}", fault.detail), ..fault }.untouched()
}

async fn look_for(
    router: &Router,
    config: &Arc<RedisConfig>,
    failures: &watch::Sender<Option<Fault>>,
) -> Found {
    loop {
        let far = Instant::now() + Duration::from_secs(3_600);
        let fault = match probe::look(router, config, far).await {
            Ok(found) => return found,
            Err(fault) => fault,
        };
        let is_outage = fault.is_outage();
        let before = failures.send_replace(Some(fault.clone()));
        if before.is_none_or(|before| before.kind != fault.kind) {
            tracing::warn!(cause = fault.detail, "not connected to Redis yet");
        }
        tokio::time::sleep(if is_outage { LOOK_AGAIN } else { REJECTED }).await;
    }
}
