//! Closing: what was accepted is finished, and everything after is refused.

use std::num::NonZeroUsize;
use std::sync::Arc;

use steadfast_backend::{ErrorKind, ScanRequest, Write, Written};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Outcome, ensure_eq, ensure_kind, fail, present};

cases!("close":
    closing_twice_is_fine,
    reads_after_it_are_closed,
    writes_after_it_are_closed,
    transactions_after_it_are_closed [Transactions],
    scans_after_it_are_closed [Scan],
    a_sweep_after_it_is_closed,
    a_check_after_it_is_closed,
    get_ready_after_it_knows_nothing,
    every_write_before_or_during_it_gets_an_answer,
    acknowledged_writes_are_there_afterwards [Survival],
);

async fn closing_twice_is_fine(context: &mut Context) -> Outcome {
    for _ in 0..3 {
        context.backend.close().await?;
    }
    Ok(())
}

async fn reads_after_it_are_closed(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    context.backend.close().await?;
    ensure_kind(context.backend.get(&key).await, ErrorKind::Closed, "get")?;
    let missing = context.key("missing")?;
    ensure_kind(context.backend.get(&missing).await, ErrorKind::Closed, "get of a missing key")?;
    let keys = [key, missing];
    ensure_kind(context.backend.get_many(&keys[..1]).await, ErrorKind::Closed, "get_many of one")?;
    ensure_kind(context.backend.get_many(&keys).await, ErrorKind::Closed, "get_many")
}

async fn writes_after_it_are_closed(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.backend.close().await?;
    for write in [
        Write::put(key.clone(), "v"),
        Write::touch(key.clone(), None),
        Write::delete(key.clone()),
        Write::check(key.clone(), steadfast_backend::Condition::Always),
    ] {
        let what = format!("{write:?}");
        ensure_kind(context.backend.write(&write.clone()).await, ErrorKind::Closed, &what)?;
        match context.backend.write_many(&[write]).await {
            Ok(answers) => {
                for answer in answers {
                    ensure_kind(answer, ErrorKind::Closed, "a write in a batch")?;
                }
            }
            outer => ensure_kind(outer, ErrorKind::Closed, "write_many")?,
        }
    }
    Ok(())
}

async fn transactions_after_it_are_closed(context: &mut Context) -> Outcome {
    let writes = vec![Write::put(context.key("k")?, "v")];
    context.backend.close().await?;
    ensure_kind(context.backend.transact(&writes).await, ErrorKind::Closed, "transact")
}

async fn scans_after_it_are_closed(context: &mut Context) -> Outcome {
    context.backend.close().await?;
    let namespace = context.namespace.clone();
    let request = ScanRequest { namespace, after: None, limit: NonZeroUsize::MIN };
    ensure_kind(context.backend.scan(request).await, ErrorKind::Closed, "scan")
}

async fn a_sweep_after_it_is_closed(context: &mut Context) -> Outcome {
    context.backend.close().await?;
    ensure_kind(context.backend.sweep().await, ErrorKind::Closed, "sweep")
}

async fn a_check_after_it_is_closed(context: &mut Context) -> Outcome {
    context.backend.close().await?;
    ensure_kind(context.backend.check().await, ErrorKind::Closed, "check")
}

async fn get_ready_after_it_knows_nothing(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    context.backend.close().await?;
    for key in [key, context.key("missing")?] {
        ensure_eq!(context.backend.get_ready(&key), None, "get_ready of {}", key.name());
    }
    Ok(())
}

/// Closes while 64 tasks write. Returns the numbers of the writes that were acknowledged.
async fn close_under_load(context: &Context) -> Outcome<Vec<usize>> {
    const TASKS: usize = 64;
    let keys = context.keys(TASKS)?;
    let mut tasks = Vec::new();
    for key in keys {
        let backend = Arc::clone(&context.backend);
        tasks.push(tokio::spawn(async move {
            let value = key.name().to_owned();
            backend.write(&Write::put(key, value)).await
        }));
        if tasks.len() == TASKS / 2 {
            // Let some through before the door is shut.
            tokio::task::yield_now().await;
        }
    }
    context.backend.close().await?;
    let mut acknowledged = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        match task.await? {
            Ok(Written::Applied { .. }) => acknowledged.push(number),
            Ok(Written::Refused { .. }) => fail!("an unconditional put was refused"),
            Err(error) => ensure_eq!(error.kind(), ErrorKind::Closed, "the kind of {error:?}"),
        }
    }
    Ok(acknowledged)
}

async fn every_write_before_or_during_it_gets_an_answer(context: &mut Context) -> Outcome {
    close_under_load(context).await.map(drop)
}

async fn acknowledged_writes_are_there_afterwards(context: &mut Context) -> Outcome {
    let acknowledged = close_under_load(context).await?;
    context.reopen_at(context.now_us()).await?;
    let keys = context.keys(64)?;
    for number in acknowledged {
        let key = &keys[number];
        let entry = present(context.get(key).await?, "an acknowledged write, after the close")?;
        ensure_eq!(entry.value, key.name(), "its value");
    }
    Ok(())
}
