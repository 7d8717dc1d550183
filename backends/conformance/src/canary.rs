//! Watches every `tracing` event of the process for texts that must not be there.

use std::fmt::{self, Write as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::failure::{Outcome, fail};

static WATCH: LazyLock<Mutex<Watch>> = LazyLock::new(|| {
    // For the whole process, since a backend may log from a thread of its own.
    let installed = tracing::subscriber::set_global_default(Capture).is_ok();
    Mutex::new(Watch { installed, watched: Vec::new() })
});

struct Watch {
    installed: bool,
    watched: Vec<Watched>,
}

struct Watched {
    id: u64,
    texts: Vec<String>,
    seen: Vec<String>,
}

/// Watches for these texts until it is asked what it saw.
pub(crate) struct Canary(u64);

impl Canary {
    pub(crate) fn release(texts: &[String]) -> Outcome<Self> {
        let mut watch = watch();
        if !watch.installed {
            fail!("another tracing subscriber is installed; run this suite in a process of its own")
        }
        let id = crate::context::random();
        watch.watched.push(Watched { id, texts: texts.to_owned(), seen: Vec::new() });
        Ok(Self(id))
    }

    /// The events that held one of the texts.
    pub(crate) fn seen(self) -> Vec<String> {
        watch().watched.iter().filter(|it| it.id == self.0).flat_map(|it| it.seen.clone()).collect()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        watch().watched.retain(|watched| watched.id != self.0);
    }
}

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Capture;

impl Capture {
    fn look(metadata: &Metadata<'_>, fields: &Fields) {
        for watched in &mut watch().watched {
            if watched.texts.iter().any(|text| fields.0.contains(text)) {
                watched.seen.push(format!("{} {}", metadata.target(), metadata.name()));
            }
        }
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        Self::look(span.metadata(), &fields);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        Self::look(event.metadata(), &fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
