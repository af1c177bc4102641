//! A helper leaves a daemon behind, and is proven gone all the same.
use verger_reaper::{Options, Spec, Stop, with_reaper};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    with_reaper("state", Options::default(), async |reaper| {
        let mut spec = Spec::new("quickstart", "/bin/sh");
        spec.args = ["-c", "setsid sleep 1000 & cat"].map(Into::into).into();
        let helper = reaper.spawn(spec).await?;
        drop(helper.stdin); // `cat` leaves, and with it the shell; the sleeper, in a session of its own, stays
        helper.custody.stop(Stop::Orderly);
        let gone = helper.custody.gone().await?; // proven: not one descendant is left
        println!("gone, with {} left behind and ended; proof: {}", gone.strays, gone.level);
        Ok(())
    })?
}
