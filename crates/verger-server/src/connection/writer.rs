//! The half that writes: what the outbox holds, a ping now and then, and when a client is given up.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::time::{Instant, sleep_until, timeout};

use super::transport::Transmit;
use crate::listen::Progress;
use crate::outbox::{Closed, Outbox};

/// A client that takes no byte for so long while something waits for it is cut: with much unsent, and with little.
const PATIENCE_WITH_MUCH: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the frame under way may take to its end once its client is cut.
const LAST_FRAME_LIMIT: Duration = Duration::from_secs(30);

/// How a client is asked for a sign of life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pings {
    /// How long a client may be silent before it is asked, and then again; zero means never.
    pub(crate) interval: Duration,
    /// How long it may be silent.
    pub(crate) timeout: Duration,
}

/// Writes what the outbox holds until it closes, and then why.
pub(super) async fn write<T: Transmit>(mut outgoings: T, outbox: &Outbox, pings: Pings) {
    let progress = outgoings.progress();
    let mut pulse = progress.clone().map(|progress| Pulse::new(progress, pings));
    let closed = loop {
        let next = tokio::select! {
            biased;
            text = outbox.next() => text.map(Out::Message),
            () = outgoings.asked() => Ok(Out::Pongs),
            beat = beat(&mut pulse) => beat.map(|()| Out::Ping),
        };
        let sent = match next {
            Ok(out) => send(&mut outgoings, out, outbox, progress.as_ref()).await,
            Err(closed) => Err(closed),
        };
        if let Err(closed) = sent {
            break closed;
        }
    };
    outbox.close(closed);
    outgoings.finish(closed).await;
}

/// What goes out next.
enum Out {
    Message(Utf8Bytes),
    Ping,
    Pongs,
}

/// Writes it. A client that takes nothing of it for too long is cut.
async fn send<T: Transmit>(
    outgoings: &mut T,
    out: Out,
    outbox: &Outbox,
    progress: Option<&Progress>,
) -> Result<(), Closed> {
    let sending = async {
        match out {
            Out::Message(text) => outgoings.transmit(text).await,
            Out::Ping => outgoings.ping().await,
            Out::Pongs => outgoings.pong().await,
        }
    };
    let Some(progress) = progress else { return sending.await.map_err(|_| Closed::Done) };
    tokio::pin!(sending);
    tokio::select! {
        biased;
        sent = &mut sending => sent.map_err(|_| Closed::Done),
        () = stalls(outbox, progress) => {
            outbox.close(Closed::Slow);
            // The frame under way is finished if it can be, so that a last word can follow it.
            timeout(LAST_FRAME_LIMIT, sending).await.ok();
            Err(Closed::Slow)
        }
    }
}

/// Resolves when the client has taken nothing for too long.
async fn stalls(outbox: &Outbox, progress: &Progress) {
    let (mut taken, mut since) = (progress.bytes_written(), Instant::now());
    loop {
        let has_much = outbox.has_much();
        let patience = if has_much { PATIENCE_WITH_MUCH } else { PATIENCE };
        tokio::select! {
            () = sleep_until(since + patience) => {}
            () = outbox.much(), if !has_much => continue,
        }
        let now = progress.bytes_written();
        if now == taken {
            return;
        }
        (taken, since) = (now, Instant::now());
    }
}

/// Watches for signs of life, of which every byte is one.
struct Pulse {
    progress: Progress,
    pings: Pings,
    heard: u64,
    /// When the last byte had come by.
    alive: Instant,
    next: Instant,
}

impl Pulse {
    fn new(progress: Progress, pings: Pings) -> Self {
        let now = Instant::now();
        Self { heard: progress.bytes_read(), progress, pings, alive: now, next: now + pings.interval }
    }

    /// Resolves when the client should be asked for a sign of life; an error when it has given none for too long.
    async fn beat(&mut self) -> Result<(), Closed> {
        loop {
            sleep_until(self.next).await;
            let now = Instant::now();
            self.next = now + self.pings.interval;
            let heard = self.progress.bytes_read();
            if heard != self.heard {
                (self.heard, self.alive) = (heard, now);
            } else if now.duration_since(self.alive) >= self.pings.timeout {
                return Err(Closed::Silent);
            } else {
                return Ok(());
            }
        }
    }
}

async fn beat(pulse: &mut Option<Pulse>) -> Result<(), Closed> {
    match pulse {
        Some(pulse) if !pulse.pings.interval.is_zero() => pulse.beat().await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;
    use verger_wire::{Notification, WarningNotification};

    use super::*;
    use crate::clock::Clock;
    use crate::event::Event;
    use crate::outbox::Wishes;

    const NO_PINGS: Pings = Pings { interval: Duration::ZERO, timeout: Duration::ZERO };

    /// A client that takes a message for each permit it gives.
    #[derive(Clone)]
    struct Fake {
        progress: Progress,
        takes: Arc<Semaphore>,
        pings: Arc<AtomicUsize>,
        taken: Arc<AtomicUsize>,
    }

    impl Fake {
        fn new() -> Self {
            let (pings, taken) = (Arc::default(), Arc::default());
            Self { progress: Progress::default(), takes: Arc::new(Semaphore::new(0)), pings, taken }
        }
    }

    impl Transmit for Fake {
        fn progress(&self) -> Option<Progress> {
            Some(self.progress.clone())
        }

        async fn transmit(&mut self, _text: Utf8Bytes) -> std::io::Result<()> {
            self.takes.acquire().await.expect("never closed").forget();
            self.taken.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn ping(&mut self) -> std::io::Result<()> {
            self.pings.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn finish(self, _why: Closed) {}
    }

    fn outbox() -> Outbox {
        let outbox = Outbox::new(Clock::start());
        assert!(outbox.initialize(Wishes::default()));
        outbox
    }

    fn event(bytes: usize) -> Event {
        let message = "x".repeat(bytes);
        Event::notice(Notification::Warning(WarningNotification { thread_id: None, message }), 0)
    }

    /// How long the client was waited for, and how that ended.
    async fn waited(fake: Fake, outbox: &Outbox) -> (Duration, Option<Closed>) {
        let start = Instant::now();
        write(fake, outbox, NO_PINGS).await;
        (start.elapsed() - LAST_FRAME_LIMIT, outbox.why_closed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_sooner_the_more_is_unsent() {
        let little = outbox();
        little.event(&event(10));
        assert_eq!(waited(Fake::new(), &little).await, (PATIENCE, Some(Closed::Slow)));

        let much = outbox();
        for _ in 0..12 {
            much.event(&event(100 << 10));
        }
        assert_eq!(waited(Fake::new(), &much).await, (PATIENCE_WITH_MUCH, Some(Closed::Slow)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_cursor_has_not_passed_is_unsent_too() {
        let outbox = outbox();
        outbox.event(&event(10));
        let late = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(outbox.skip(&event(2 << 20)) > 2 << 20);
        };
        let (cut, ()) = tokio::join!(waited(Fake::new(), &outbox), late);
        assert_eq!(cut, (Duration::from_secs(5), Some(Closed::Slow)), "as soon as it is much");
    }

    #[tokio::test(start_paused = true)]
    async fn replies_never_count_as_much() {
        let outbox = outbox();
        outbox.reply("x".repeat(3 << 20), None);
        outbox.reply("y".repeat(3 << 20), None);
        assert_eq!(waited(Fake::new(), &outbox).await, (PATIENCE, Some(Closed::Slow)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_is_not_cut() {
        let (outbox, fake) = (outbox(), Fake::new());
        outbox.event(&event(10));
        let (progress, takes, taken) = (fake.progress.clone(), fake.takes.clone(), fake.taken.clone());
        let trickle = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(7)).await;
                progress.wrote(1);
            }
            takes.add_permits(1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            outbox.close(Closed::Done);
        };
        tokio::join!(write(fake, &outbox, NO_PINGS), trickle);
        assert_eq!((outbox.why_closed(), taken.load(Ordering::Relaxed)), (Some(Closed::Done), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_no_sign_of_life_is_asked_and_then_given_up() {
        let (outbox, fake) = (outbox(), Fake::new());
        let pings = Pings { interval: Duration::from_secs(20), timeout: Duration::from_secs(60) };
        let (start, asked) = (Instant::now(), fake.pings.clone());
        write(fake, &outbox, pings).await;
        assert_eq!(outbox.why_closed(), Some(Closed::Silent), "it is gone, not slow");
        assert_eq!((start.elapsed(), asked.load(Ordering::Relaxed)), (pings.timeout, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_pings_or_talks_stays() {
        let (outbox, fake) = (outbox(), Fake::new());
        let pings = Pings { interval: Duration::from_secs(20), timeout: Duration::from_secs(60) };
        let (progress, asked) = (fake.progress.clone(), fake.pings.clone());
        let alive = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                progress.read(1);
            }
            outbox.close(Closed::Done);
        };
        tokio::join!(write(fake, &outbox, pings), alive);
        assert_eq!(outbox.why_closed(), Some(Closed::Done));
        let asked = asked.load(Ordering::Relaxed);
        assert!((10..25).contains(&asked), "not while it talks: {asked}");
    }
}
