//! Records that the store cannot read, and a key that is replaced while the service runs.
//!
//! `cargo run --example encryption --features encrypt`

use serde::{Deserialize, Serialize};
use steadfast::backend::Group;
use steadfast::store::SealingKeys;
use steadfast::{Result, State, Store};

#[derive(Debug, Serialize, Deserialize)]
struct Note(String);

impl State for Note {
    const SCHEMA: u16 = 1;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // 32 bytes each, from a random source; keep them where you keep passwords.
    let (old, new) = ([1; 32], [2; 32]);
    let backend = steadfast::connect("memory:").await?;

    let store = Store::builder(backend.clone()).sealed(SealingKeys::new(1, &old)).build()?;
    let key = store.key("note", &Group::new("alice")?, "diary")?;
    store.update(&key, None, |note| *note = Some(Note("dear diary".to_owned()))).await?;
    let stored = backend.get(&key).await?.map(|entry| entry.value).unwrap_or_default();
    println!("the store has {} bytes that say nothing", stored.len());

    // The next release writes with the new key, and reads both.
    let keys = SealingKeys::new(2, &new).and_old(1, &old);
    let store = Store::builder(backend.clone()).sealed(keys).build()?;
    let note = store.get::<Note>(&key).await?.map(|record| record.value);
    println!("read with the old key: {note:?}");

    // Who has no key is told so, and nothing is changed.
    let keyless = Store::builder(backend).build()?;
    if let Err(error) = keyless.get::<Note>(&key).await {
        println!("without a key: {error}");
    }
    Ok(())
}
