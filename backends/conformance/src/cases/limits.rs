//! Sizes: what fits exactly, and what is one too many.

use std::time::Duration;

use steadfast_backend::{Condition, ErrorKind, Group, Key, Ttl, Write};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Outcome, ensure, ensure_eq, ensure_kind, present};

cases!("limits":
    a_value_of_the_longest_length_is_kept,
    a_value_one_byte_too_long_is_too_large,
    a_value_too_long_in_a_batch_is_too_large,
    a_value_too_long_in_a_transaction_is_too_large [Transactions],
    the_size_is_judged_before_the_condition,
    a_batch_of_the_longest_length_is_made,
    a_batch_one_too_long_is_too_large,
    a_transaction_one_too_long_is_too_large [Transactions],
    keys_of_200_bytes_are_told_apart,
    keys_of_one_letter_work,
    the_shortest_and_longest_ttl_are_taken,
);

fn too_long(context: &Context) -> Vec<u8> {
    vec![b'x'; context.can().value_len_max + 1]
}

async fn a_value_of_the_longest_length_is_kept(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let mut value = vec![b'x'; context.can().value_len_max];
    if let (Some(first), len) = (value.first().copied(), value.len()) {
        value[len - 1] = first + 1;
    }
    context.put(Write::put(key.clone(), value.clone())).await?;
    let found = present(context.get(&key).await?, "the longest value")?.value;
    ensure!(found == value, "{} bytes came back, and not those that were put", found.len());
    Ok(())
}

async fn a_value_one_byte_too_long_is_too_large(context: &mut Context) -> Outcome {
    let (key, new) = (context.key("k")?, context.key("new")?);
    let version = context.put(Write::put(key.clone(), "before")).await?;
    for key in [&key, &new] {
        let put = context.backend.write(&Write::put(key.clone(), too_long(context))).await;
        let error = put.as_ref().err().map(|error| (error.is_outage(), error.is_ambiguous()));
        ensure_kind(put, ErrorKind::TooLarge, "one byte too many")?;
        ensure_eq!(error, Some((false, false)), "whether it is an outage, and ambiguous");
    }
    let entry = present(context.get(&key).await?, "after a put that is too large")?;
    ensure_eq!((&*entry.value, entry.version), (&b"before"[..], version), "the entry before it");
    ensure_eq!(context.get(&new).await?, None, "the key of a put that is too large");
    Ok(())
}

async fn a_value_too_long_in_a_batch_is_too_large(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let writes = vec![Write::put(key.clone(), too_long(context))];
    let answers = context.backend.write_many(&writes).await?;
    ensure_eq!(answers.len(), 1, "the number of answers");
    for answer in answers {
        ensure_kind(answer, ErrorKind::TooLarge, "one byte too many")?;
    }
    ensure_eq!(context.get(&key).await?, None, "the key of a put that is too large");
    Ok(())
}

async fn a_value_too_long_in_a_transaction_is_too_large(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let writes =
        vec![Write::put(keys[0].clone(), "v"), Write::put(keys[1].clone(), too_long(context))];
    ensure_kind(context.backend.transact(&writes).await, ErrorKind::TooLarge, "one byte too many")?;
    for key in &keys {
        ensure_eq!(context.get(key).await?, None, "a key of a transaction that is too large");
    }
    Ok(())
}

async fn the_size_is_judged_before_the_condition(context: &mut Context) -> Outcome {
    let put = Write::put(context.key("k")?, too_long(context)).only_if(Condition::Present);
    ensure_kind(context.backend.write(&put).await, ErrorKind::TooLarge, "too large and refusable")
}

fn puts(context: &Context, count: usize) -> Outcome<Vec<Write>> {
    let keys = context.keys(count)?;
    Ok(keys.into_iter().map(|key| Write::put(key, "v")).collect())
}

async fn a_batch_of_the_longest_length_is_made(context: &mut Context) -> Outcome {
    let len = context.can().batch_len_max;
    let answers = context.backend.write_many(&puts(context, len)?).await?;
    ensure_eq!(answers.len(), len, "the number of answers");
    for answer in answers {
        crate::failure::applied(answer?)?;
    }
    let entries = context.backend.get_many(&context.keys(len)?).await?;
    ensure!(entries.iter().all(Option::is_some), "a write of the longest batch is missing");
    Ok(())
}

async fn a_batch_one_too_long_is_too_large(context: &mut Context) -> Outcome {
    let writes = puts(context, context.can().batch_len_max + 1)?;
    ensure_kind(context.backend.write_many(&writes).await, ErrorKind::TooLarge, "one too many")?;
    ensure_eq!(context.get(&context.key("0000")?).await?, None, "the first of too many");
    Ok(())
}

async fn a_transaction_one_too_long_is_too_large(context: &mut Context) -> Outcome {
    let writes = puts(context, context.can().batch_len_max + 1)?;
    ensure_kind(context.backend.transact(&writes).await, ErrorKind::TooLarge, "one too many")?;
    ensure_eq!(context.get(&context.key("0000")?).await?, None, "the first of too many");
    Ok(())
}

async fn keys_of_200_bytes_are_told_apart(context: &mut Context) -> Outcome {
    let group = Group::new(&"g".repeat(Group::MAX_LEN))?;
    let room = Key::MAX_LEN - context.namespace.as_str().len() - group.as_str().len() - 4;
    let key = |last: &str| {
        let name = "n".repeat(room - 1) + last;
        Key::new(&context.namespace, &group, &name)
    };
    let keys = [key("a")?, key("b")?];
    ensure_eq!(keys[0].as_str().len(), Key::MAX_LEN, "the length of the key");
    for key in &keys {
        context.put(Write::put(key.clone(), key.name().to_owned())).await?;
    }
    for key in &keys {
        ensure_eq!(context.text(key).await?.as_deref(), Some(key.name()), "a long key's value");
    }
    Ok(())
}

async fn keys_of_one_letter_work(context: &mut Context) -> Outcome {
    let letters = ["0", ":", "~", "!", "A", "a", "*", "\\", "/", "%"];
    let keys = letters.map(|letter| Ok([context.key(letter)?, context.key_of(letter, "k")?]));
    let keys: Vec<_> = keys.into_iter().collect::<Outcome<_>>()?;
    for (letter, keys) in letters.iter().zip(&keys) {
        for key in keys {
            context.put(Write::put(key.clone(), *letter)).await?;
        }
    }
    for (letter, keys) in letters.iter().zip(&keys) {
        for key in keys {
            ensure_eq!(context.text(key).await?.as_deref(), Some(*letter), "under {letter}");
        }
    }
    Ok(())
}

async fn the_shortest_and_longest_ttl_are_taken(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    for ttl in [Ttl::new(Duration::from_millis(1))?, Ttl::MAX] {
        context.put(Write::put(key.clone(), "v").expiring(ttl)).await?;
    }
    let left = present(context.get(&key).await?, "within ten years")?.left;
    ensure!(left > Some(Ttl::MAX.as_duration() / 2), "of ten years, {left:?} are left");
    Ok(())
}
