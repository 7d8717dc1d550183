//! A queue that delivers each message at least once, and a consumer that handles each once.
//!
//! `cargo run --example message_consumer --features runtime`

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::idempotency::{Failure, Fingerprint, IdempotencyKey, Ran, Scope};
use steadfast::{Error, Idempotency, State, Store};

#[derive(Clone)]
struct Message {
    id: &'static str,
    text: &'static str,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    mail_id: String,
}

impl State for Sent {
    const SCHEMA: u16 = 1;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    let mails = Idempotency::<Sent>::builder(&store).build()?;

    let hello = Message { id: "m-1", text: "hello" };
    let world = Message { id: "m-2", text: "world" };
    // The broker did not see the first acknowledgement.
    let mut queue = VecDeque::from([hello.clone(), world, hello]);
    let scope = Scope::anonymous("mails");
    while let Some(Message { id, text }) = queue.pop_front() {
        let (key, asked) = (IdempotencyKey::new(id)?, Fingerprint::of([text]));
        // Should this process die in it, the outcome is unknown, and nobody sends again.
        let ran = mails.run(&scope, &key, &asked, move |execution| async move {
            println!("     sending {text:?}");
            Ok::<_, Failure<Error>>(Sent { mail_id: execution.effect_id().to_owned() })
        });
        match ran.await? {
            Ran::Executed(sent) => println!("{id}: {sent:?}"),
            Ran::Replayed(sent) => println!("{id}: sent before, {sent:?}"),
            // Another consumer is at it: not acknowledged, so that it comes again.
            Ran::InFlight { .. } => queue.push_back(Message { id, text }),
            // The rest needs a person.
            other => println!("{id}: put aside, {other:?}"),
        }
    }
    mails.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
