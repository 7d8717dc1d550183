//! One program, any backend: the URL decides, within what the Cargo features put in.
//!
//! `cargo run --example choose_backend -- memory:`
//! `cargo run --example choose_backend --features redb -- redb:/tmp/steadfast-example.redb`
//! `cargo run --example choose_backend --features redis -- redis://127.0.0.1/1?timeout=250ms`

use serde::{Deserialize, Serialize};
use steadfast::backend::Group;
use steadfast::{State, Store};

#[derive(Serialize, Deserialize)]
struct Starts(u64);

impl State for Starts {
    const SCHEMA: u16 = 1;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = Store::builder(steadfast::connect(&url).await?).namespace("example").build()?;
    println!("{:#?}", store.info());

    let key = store.key("starts", &Group::new("example")?, "count")?;
    let counted = store.update(&key, None, |starts: &mut Option<Starts>| {
        let starts = starts.get_or_insert(Starts(0));
        starts.0 += 1;
        starts.0
    });
    println!("started {} times on this store", counted.await?.output);
    println!("a round trip takes {:?}", store.check().await?.latency);
    store.close().await?;
    Ok(())
}
