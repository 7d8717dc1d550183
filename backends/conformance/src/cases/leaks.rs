//! Secrets: no value, no whole key and no credential in anything that is printed or logged.

use std::fmt::{Debug, Display};
use std::num::NonZeroUsize;

use bytes::Bytes;
use steadfast_backend::{Condition, Cursor, Error, Key, ScanRequest, Write};

use crate::canary::Canary;
use crate::case::cases;
use crate::context::{Context, random};
use crate::failure::{Outcome, ensure, ensure_eq};

cases!("leaks":
    nothing_printed_shows_a_secret,
    nothing_logged_shows_a_secret,
);

/// The secrets of this run, and what was printed.
struct Printed {
    value: String,
    name: String,
    secrets: Vec<String>,
    texts: Vec<(&'static str, String)>,
}

impl Printed {
    fn new(context: &Context) -> Self {
        let (value, name) =
            (format!("canary-value-{:x}", random()), format!("canary-name-{:x}", random()));
        let mut secrets = context.settings.secrets.clone();
        secrets.extend([value.clone(), name.clone()]);
        Self { value, name, secrets, texts: Vec::new() }
    }

    fn debug(&mut self, what: &'static str, it: &(impl Debug + ?Sized)) {
        self.texts.push((what, format!("{it:?} {it:#?}")));
    }

    fn display(&mut self, what: &'static str, it: &(impl Display + ?Sized)) {
        self.texts.push((what, format!("{it} {it:#}")));
    }

    /// Prints an answer; an error with all its causes.
    fn answer<T: Debug>(&mut self, what: &'static str, answer: &Result<T, Error>) {
        self.debug(what, answer);
        let mut cause: Option<&dyn std::error::Error> = match answer {
            Ok(_) => None,
            Err(error) => Some(error),
        };
        while let Some(error) = cause {
            self.display(what, error);
            self.debug(what, error);
            cause = error.source();
        }
    }

    fn leak(&self) -> Option<&'static str> {
        let leaks = |text: &String| {
            self.secrets.iter().any(|secret| {
                let bytes = format!("{:?}", secret.as_bytes());
                text.contains(secret) || text.contains(bytes.trim_matches(['[', ']']))
            })
        };
        self.texts.iter().find(|(_, text)| leaks(text)).map(|(what, _)| *what)
    }
}

/// Runs every verb, in ways that succeed and in ways that fail, and prints all that comes back.
async fn run_all(context: &Context, printed: &mut Printed) -> Outcome {
    let backend = &context.backend;
    let key = context.key_of(&printed.name.clone(), &printed.name.clone())?;
    let value = printed.value.clone();
    let long = value.repeat(context.can().value_len_max / value.len() + 1);
    let put = Write::put(key.clone(), value.clone());
    let lost = put.clone().only_if(Condition::Absent);
    printed.debug("the backend", &**backend);
    printed.debug("the info", backend.info());
    printed.debug("a write", &put);
    for write in [
        put.clone(),
        lost.clone(),
        Write::touch(key.clone(), None).only_if(Condition::Absent),
        Write::put(key.clone(), long.clone()),
        Write::delete(key.clone()).only_if(Condition::Absent),
    ] {
        printed.answer("the answer of write", &backend.write(&write).await);
    }
    let batch = vec![put.clone(), lost.clone(), Write::put(key.clone(), long.clone())];
    printed.answer("the answer of write_many", &backend.write_many(&batch).await);
    for writes in [
        vec![put.clone()],
        vec![lost],
        vec![put.clone(), put.clone()],
        vec![Write::put(key.clone(), long)],
    ] {
        printed.answer("the answer of transact", &backend.transact(&writes).await);
    }
    read_all(context, printed, &key).await;
    backend.close().await?;
    printed.answer("the answer of write when closed", &backend.write(&put).await);
    read_all(context, printed, &key).await;
    printed.debug("the closed backend", &**backend);
    Ok(())
}

async fn read_all(context: &Context, printed: &mut Printed, key: &Key) {
    let backend = &context.backend;
    printed.debug("the answer of get_ready", &backend.get_ready(key));
    printed.answer("the answer of get", &backend.get(key).await);
    printed.answer("the answer of get_many", &backend.get_many(std::slice::from_ref(key)).await);
    let too_many = vec![key.clone(); context.can().batch_len_max + 1];
    printed.answer("the answer of get_many", &backend.get_many(&too_many).await);
    let (namespace, limit) = (context.namespace.clone(), NonZeroUsize::MIN);
    let foreign = Cursor(Bytes::from(printed.value.clone()));
    for after in [None, Some(foreign)] {
        let request = ScanRequest { namespace: namespace.clone(), after, limit };
        printed.answer("the answer of scan", &backend.scan(request).await);
    }
    printed.answer("the answer of check", &backend.check().await);
}

async fn nothing_printed_shows_a_secret(context: &mut Context) -> Outcome {
    let mut printed = Printed::new(context);
    run_all(context, &mut printed).await?;
    ensure_eq!(printed.leak(), None, "what shows a value, a key or a credential");
    Ok(())
}

async fn nothing_logged_shows_a_secret(context: &mut Context) -> Outcome {
    let mut printed = Printed::new(context);
    let canary = Canary::release(&printed.secrets)?;
    // Opened again under the canary's eyes, since opening is where a URL would be logged.
    let again = (context.settings.open)(crate::Place {
        clock: context.place.clock.clone(),
        dir: context.place.dir.join("again"),
    });
    again.await?.backend.close().await?;
    run_all(context, &mut printed).await?;
    let seen = canary.seen();
    ensure!(seen.is_empty(), "these events show a value, a key or a credential: {seen:?}");
    Ok(())
}
