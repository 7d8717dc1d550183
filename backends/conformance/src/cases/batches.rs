//! Batches: in order, and each write alone.

use steadfast_backend::{Condition, ErrorKind, Key, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure_eq, ensure_kind, refused};

cases!("batches":
    an_empty_batch_is_fine,
    writes_are_made_in_order,
    each_write_sees_the_one_before,
    answers_stand_in_the_order_of_the_writes,
    a_refused_write_stops_nothing,
    a_write_that_is_too_large_fails_alone,
    every_verb_may_stand_in_a_batch,
);

async fn an_empty_batch_is_fine(context: &mut Context) -> Outcome {
    ensure_eq!(context.backend.write_many(&[]).await?.len(), 0, "the number of answers");
    Ok(())
}

async fn writes_are_made_in_order(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let len = context.can().batch_len_max.min(32);
    let writes: Vec<_> =
        (0..len).map(|number| Write::put(key.clone(), number.to_string())).collect();
    for answer in context.backend.write_many(&writes).await? {
        applied(answer?)?;
    }
    ensure_eq!(context.text(&key).await?, Some((len - 1).to_string()), "the last value");
    Ok(())
}

async fn each_write_sees_the_one_before(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let put = |value: &'static str, condition| Write::put(key.clone(), value).only_if(condition);
    let writes = vec![
        put("first", Condition::Absent),
        put("second", Condition::Absent),
        put("third", Condition::Present),
        Write::delete(key.clone()).only_if(Condition::Present),
        Write::touch(key.clone(), None),
        put("last", Condition::Absent),
    ];
    let mut made = Vec::new();
    for answer in context.backend.write_many(&writes).await? {
        made.push(answer?.is_applied());
    }
    ensure_eq!(made, [true, false, true, true, false, true], "which writes were applied");
    ensure_eq!(context.text(&key).await?.as_deref(), Some("last"), "the last value");
    Ok(())
}

async fn answers_stand_in_the_order_of_the_writes(context: &mut Context) -> Outcome {
    let keys = context.keys(12)?;
    for (number, key) in keys.iter().enumerate() {
        context.put(Write::put(key.clone(), number.to_string())).await?;
    }
    let order = [7, 3, 11, 0, 5, 10, 1, 6];
    let taken = |number: usize| Write::put(keys[number].clone(), "x").only_if(Condition::Absent);
    let answers = context.backend.write_many(&order.map(taken)).await?;
    ensure_eq!(answers.len(), order.len(), "the number of answers");
    for (number, answer) in order.into_iter().zip(answers) {
        let value = refused(answer?)?.map(|entry| entry.value);
        ensure_eq!(value, Some(number.to_string().into()), "the answer in place of {number}");
    }
    Ok(())
}

async fn a_refused_write_stops_nothing(context: &mut Context) -> Outcome {
    let keys = context.keys(3)?;
    context.put(Write::put(keys[1].clone(), "taken")).await?;
    let create = |key: &Key| Write::put(key.clone(), "new").only_if(Condition::Absent);
    let answers = context.backend.write_many(&[&keys[0], &keys[1], &keys[2]].map(create)).await?;
    let mut made = Vec::new();
    for answer in answers {
        made.push(answer?.is_applied());
    }
    ensure_eq!(made, [true, false, true], "which writes were applied");
    ensure_eq!(context.text(&keys[1]).await?.as_deref(), Some("taken"), "the refused one");
    ensure_eq!(context.text(&keys[2]).await?.as_deref(), Some("new"), "the one after it");
    Ok(())
}

async fn a_write_that_is_too_large_fails_alone(context: &mut Context) -> Outcome {
    let keys = context.keys(3)?;
    let long = vec![b'x'; context.can().value_len_max + 1];
    let writes = vec![
        Write::put(keys[0].clone(), "v"),
        Write::put(keys[1].clone(), long),
        Write::put(keys[2].clone(), "v"),
    ];
    let mut answers = context.backend.write_many(&writes).await?.into_iter();
    ensure_eq!(answers.len(), 3, "the number of answers");
    for (number, answer) in answers.by_ref().enumerate() {
        if number == 1 {
            ensure_kind(answer, ErrorKind::TooLarge, "the one in the middle")?;
        } else {
            applied(answer?)?;
        }
    }
    let found: Vec<bool> =
        context.backend.get_many(&keys).await?.iter().map(Option::is_some).collect();
    ensure_eq!(found, [true, false, true], "what is there afterwards");
    Ok(())
}

async fn every_verb_may_stand_in_a_batch(context: &mut Context) -> Outcome {
    let keys = context.keys(4)?;
    for key in &keys[..3] {
        context.put(Write::put(key.clone(), "old")).await?;
    }
    let writes = vec![
        Write::put(keys[0].clone(), "new"),
        Write::touch(keys[1].clone(), Some(ttl_ms(3_600_000)?)),
        Write::delete(keys[2].clone()),
        Write::check(keys[3].clone(), Condition::Absent),
    ];
    let mut versions = Vec::new();
    for answer in context.backend.write_many(&writes).await? {
        versions.push(applied(answer?)?);
    }
    let entries = context.backend.get_many(&keys).await?;
    let found: Vec<_> = entries.iter().map(|entry| entry.as_ref().map(|it| it.version)).collect();
    ensure_eq!(versions, found, "the answered versions against those that are read");
    let deadlines: Vec<bool> = entries.iter().flatten().map(|entry| entry.left.is_some()).collect();
    ensure_eq!(deadlines, [false, true], "which entries have a deadline");
    Ok(())
}
