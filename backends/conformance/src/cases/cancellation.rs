//! Dropped futures: the backend stays usable, and a dropped change is made whole or not at all.

use std::num::NonZeroUsize;
use std::sync::Arc;

use steadfast_backend::{Backend, Key, ScanRequest, Transactions, Write};

use crate::case::cases;
use crate::context::Context;
use crate::dropping::poll_then_drop;
use crate::failure::{Outcome, ensure, ensure_eq, fail, present};

cases!("cancellation":
    reads_dropped_at_every_await,
    a_write_dropped_at_every_await,
    a_touch_or_delete_dropped_at_every_await,
    a_batch_dropped_at_every_await,
    a_transaction_dropped_at_every_await [Transactions],
    a_check_dropped_at_every_await,
    a_scan_dropped_at_every_await [Scan],
    calls_dropped_under_load_mix_up_no_answers,
);

/// More awaits than any backend should have on one call.
const POLLS_MAX: usize = 64;

/// A value in two halves that say the same; long, so that a torn one would show.
fn whole(text: &str) -> Vec<u8> {
    text.repeat(4_096 / text.len()).into_bytes()
}

/// The text that a value was made of.
async fn unwhole(context: &Context, key: &Key, texts: &[&str]) -> Outcome<Option<String>> {
    let Some(entry) = context.get(key).await? else { return Ok(None) };
    match texts.iter().find(|text| whole(text) == entry.value) {
        Some(text) => Ok(Some((*text).to_owned())),
        None => fail!("a value of {} bytes that nobody wrote", entry.value.len()),
    }
}

async fn stays_usable(context: &Context, polls: usize) -> Outcome {
    let key = context.key(&format!("usable-{polls}"))?;
    context.put(Write::put(key.clone(), polls.to_string())).await?;
    ensure_eq!(context.text(&key).await?, Some(polls.to_string()), "after {polls} polls");
    Ok(())
}

async fn reads_dropped_at_every_await(context: &mut Context) -> Outcome {
    let keys = context.keys(4)?;
    for key in &keys {
        context.put(Write::put(key.clone(), key.name().to_owned())).await?;
    }
    for polls in 0..POLLS_MAX {
        let one = poll_then_drop(context.backend.get(&keys[0]), polls).await.is_some();
        // The answer that nobody waits for must not come to the next call.
        ensure_eq!(context.text(&keys[1]).await?.as_deref(), Some(keys[1].name()), "the next get");
        let many = poll_then_drop(context.backend.get_many(&keys[..2]), polls).await.is_some();
        let next = context.backend.get_many(&keys[2..]).await?;
        let values: Vec<_> = next.into_iter().flatten().map(|entry| entry.value).collect();
        ensure_eq!(values, [keys[2].name(), keys[3].name()], "the next get_many");
        if one && many {
            return Ok(());
        }
    }
    fail!("a read is not done after {POLLS_MAX} polls")
}

async fn a_write_dropped_at_every_await(context: &mut Context) -> Outcome {
    for polls in 0..POLLS_MAX {
        let key = context.key(&polls.to_string())?;
        let old = context.put(Write::put(key.clone(), whole("old"))).await?;
        let put = Write::put(key.clone(), whole("newer"));
        let ended = poll_then_drop(context.backend.write(&put), polls).await.is_some();
        stays_usable(context, polls).await?;
        let entry = present(context.get(&key).await?, "a key whose overwriting was dropped")?;
        let text = unwhole(context, &key, &["old", "newer"]).await?;
        ensure!(entry.version == old || text.as_deref() == Some("newer"), "half of it was made");
        ensure!(!ended || text.as_deref() == Some("newer"), "a finished put is not there");
        if ended {
            return Ok(());
        }
    }
    fail!("a put is not done after {POLLS_MAX} polls")
}

async fn a_touch_or_delete_dropped_at_every_await(context: &mut Context) -> Outcome {
    let ttl = crate::context::ttl_ms(3_600_000)?;
    for polls in 0..POLLS_MAX {
        let keys =
            [context.key(&format!("touch-{polls}"))?, context.key(&format!("delete-{polls}"))?];
        let mut versions = Vec::new();
        for key in &keys {
            versions.push(context.put(Write::put(key.clone(), whole("old"))).await?);
        }
        let touch = Write::touch(keys[0].clone(), Some(ttl));
        let touched = poll_then_drop(context.backend.write(&touch), polls).await.is_some();
        let delete = Write::delete(keys[1].clone());
        let deleted = poll_then_drop(context.backend.write(&delete), polls).await.is_some();
        stays_usable(context, polls).await?;
        let entry = present(context.get(&keys[0]).await?, "a key whose touch was dropped")?;
        ensure_eq!((&entry.value[..], entry.version), (&whole("old")[..], versions[0]), "after it");
        ensure!(!touched || entry.left.is_some(), "a finished touch has no effect");
        let left = unwhole(context, &keys[1], &["old"]).await?;
        ensure!(!deleted || left.is_none(), "a finished delete has no effect");
        if touched && deleted {
            return Ok(());
        }
    }
    fail!("a touch or delete is not done after {POLLS_MAX} polls")
}

async fn a_batch_dropped_at_every_await(context: &mut Context) -> Outcome {
    for polls in 0..POLLS_MAX {
        let keys = (0..8).map(|number| context.key(&format!("{polls}-{number}")));
        let keys: Vec<Key> = keys.collect::<Outcome<_>>()?;
        let writes: Vec<_> = keys.iter().map(|key| Write::put(key.clone(), whole("new"))).collect();
        let ended = poll_then_drop(context.backend.write_many(&writes), polls).await.is_some();
        stays_usable(context, polls).await?;
        let mut made = Vec::new();
        // From the last to the first, since the dropped batch may still be under way.
        for key in keys.iter().rev() {
            made.push(unwhole(context, key, &["new"]).await?.is_some());
        }
        ensure!(made.is_sorted(), "a batch was not made in order; from the last: {made:?}");
        ensure!(!ended || made.iter().all(|made| *made), "a finished batch is not there: {made:?}");
        if ended {
            return Ok(());
        }
    }
    fail!("a batch is not done after {POLLS_MAX} polls")
}

async fn a_transaction_dropped_at_every_await(context: &mut Context) -> Outcome {
    for polls in 0..POLLS_MAX {
        let keys = (0..8).map(|number| context.key(&format!("{polls}-{number}")));
        let keys: Vec<Key> = keys.collect::<Outcome<_>>()?;
        let writes: Vec<_> = keys.iter().map(|key| Write::put(key.clone(), whole("new"))).collect();
        let ended = poll_then_drop(context.backend.transact(&writes), polls).await.is_some();
        let entries = context.backend.get_many(&keys).await?;
        let made = entries.iter().flatten().count();
        ensure!(made == 0 || made == 8, "{made} of 8 writes of a dropped transaction were made");
        stays_usable(context, polls).await?;
        let entries = context.backend.get_many(&keys).await?;
        let made = entries.iter().flatten().count();
        ensure!(made == 0 || made == 8, "{made} of 8 writes of a dropped transaction were made");
        ensure!(!ended || made == 8, "a finished transaction is not there");
        if ended {
            return Ok(());
        }
    }
    fail!("a transaction is not done after {POLLS_MAX} polls")
}

async fn a_check_dropped_at_every_await(context: &mut Context) -> Outcome {
    for polls in 0..POLLS_MAX {
        let ended = poll_then_drop(context.backend.check(), polls).await.is_some();
        stays_usable(context, polls).await?;
        context.backend.check().await?;
        if ended {
            return Ok(());
        }
    }
    fail!("a check is not done after {POLLS_MAX} polls")
}

async fn a_scan_dropped_at_every_await(context: &mut Context) -> Outcome {
    for key in context.keys(8)? {
        context.put(Write::put(key, "v")).await?;
    }
    let request = ScanRequest {
        namespace: context.namespace.clone(),
        after: None,
        limit: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
    };
    for polls in 0..POLLS_MAX {
        let ended = poll_then_drop(context.backend.scan(request.clone()), polls).await.is_some();
        stays_usable(context, polls).await?;
        let listed = context.scan_all(&context.namespace, 100).await?.len();
        ensure_eq!(listed, 8 + polls + 1, "keys listed after {polls} polls");
        if ended {
            return Ok(());
        }
    }
    fail!("a scan is not done after {POLLS_MAX} polls")
}

/// Some tasks check that they read what they wrote, while calls of others are dropped at any
/// moment.
async fn calls_dropped_under_load_mix_up_no_answers(context: &mut Context) -> Outcome {
    const STEADY: usize = 16;
    const DROPPED: usize = 200;
    let mut steady = Vec::new();
    for number in 0..STEADY {
        let key = context.key(&format!("steady-{number}"))?;
        let backend = Arc::clone(&context.backend);
        steady.push(tokio::spawn(async move { own_answers(&*backend, &key).await }));
    }
    let with_transactions = context.can().transactions != Transactions::None;
    for number in 0..DROPPED {
        let keys = [context.key(&format!("a-{number}"))?, context.key(&format!("b-{number}"))?];
        let backend = Arc::clone(&context.backend);
        let task = tokio::spawn(async move {
            let puts = [&keys[0], &keys[1]].map(|key| Write::put(key.clone(), "dropped"));
            let _ = backend.write_many(&puts).await;
            if with_transactions {
                let _ = backend.transact(&puts).await;
            }
            let _ = backend.get_many(&keys).await;
        });
        for _ in 0..number % 5 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    for task in steady {
        task.await??;
    }
    stays_usable(context, 0).await
}

async fn own_answers(backend: &dyn Backend, key: &Key) -> Outcome {
    for round in 0..40 {
        let value = format!("{} {round}", key.name());
        let version =
            crate::failure::applied(backend.write(&Write::put(key.clone(), value.clone())).await?)?;
        let entry = present(backend.get(key).await?, "one's own write")?;
        ensure_eq!(entry.value, value, "the value of one's own key");
        ensure_eq!(Some(entry.version), version, "the version of one's own write");
    }
    Ok(())
}
