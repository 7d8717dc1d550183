//! What a store tells an operator, in the text form that Prometheus reads. A service serves it
//! under a path, as `examples/demo/` does under `/metrics`; `examples/monitoring/` has a dashboard.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use steadfast::store::{NearConfig, Reads};
use steadfast::{Sessions, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before the store is built, which holds on to it. Without buckets histograms are summaries.
    let recorder = PrometheusBuilder::new()
        .set_buckets(&[0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0])?
        .install_recorder()?;

    let backend = steadfast::connect("memory:").await?;
    let store = Store::builder(backend).near(NearConfig::default()).build()?;
    let reads = Reads::within(Duration::from_secs(2));
    let sessions: Sessions<()> = Sessions::builder(&store).reads(reads).build()?;
    let id = sessions.create(()).await?.id;
    for _ in 0..10 {
        sessions.load(&id).await?;
    }
    store.check().await?; // what the store says of itself comes from here: let a timer call it

    let text = recorder.render();
    assert!(text.contains(r#"steadfast_near_reads_total{backend="memory",result="hit"} 9"#));
    println!("{text}");
    Ok(())
}
