//! The fake model for use by hand: `fake-model --port 9100`, until its input ends or it is killed.

use std::io::{self, Read};

use verger_testkit::fake_model::FakeModel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port = match (args.next().as_deref(), args.next()) {
        (None, _) => 0,
        (Some("--port"), Some(port)) => port.parse()?,
        _ => return Err("usage: fake-model [--port PORT]".into()),
    };
    let fake = FakeModel::start_on(port)?;
    println!("base_url = \"{}\"", fake.base_url());
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
