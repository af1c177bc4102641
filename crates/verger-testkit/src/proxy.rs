//! A bad network: a TCP proxy on the loopback interface that delays, splits, stalls and cuts what goes through it, as drawn from a
//! seed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How bad it is: each is the chance, in 10,000, that it meets a piece of up to 4 kB.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// It comes some milliseconds later.
    pub delays: u32,
    /// It comes byte by byte, or nearly so.
    pub splits: u32,
    /// Nothing comes in this direction for up to this long.
    pub stalls: (u32, Duration),
    /// The connection ends in the middle of it: in an orderly way, or by a reset.
    pub cuts: u32,
}

/// A running proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    counts: Arc<Counts>,
    /// One task, which owns those of the connections; aborted with this.
    accepting: JoinSet<()>,
}

/// What it did so far.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    delays: AtomicU64,
    splits: AtomicU64,
    stalls: AtomicU64,
    ends: AtomicU64,
    resets: AtomicU64,
}

/// The next piece's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    Delayed,
    Split,
    Stalled,
    Cut { reset: bool },
}

// === impl Weather ===

impl Weather {
    /// Everything happens, now and then.
    pub const ROUGH: Self =
        Self { delays: 300, splits: 1_000, stalls: (20, Duration::from_millis(200)), cuts: 15 };
    /// Nothing does.
    pub const FAIR: Self = Self { delays: 0, splits: 0, stalls: (0, Duration::ZERO), cuts: 0 };

    fn draw(&self, rng: &mut Rng) -> Fate {
        let mut drawn = rng.u32(0..10_000);
        let mut meets = |chance: u32| {
            let meets = drawn < chance;
            drawn = drawn.wrapping_sub(chance);
            meets
        };
        if meets(self.cuts) {
            return Fate::Cut { reset: rng.bool() };
        }
        if meets(self.stalls.0) {
            return Fate::Stalled;
        }
        if meets(self.splits) {
            return Fate::Split;
        }
        if meets(self.delays) { Fate::Delayed } else { Fate::Passes }
    }
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a free port, and hands every connection on to `target`, HOST:PORT.
    ///
    /// # Errors
    ///
    /// The listener's, or that `target` is no address.
    pub async fn start(target: &str, weather: Weather, seed: u64) -> io::Result<Self> {
        let target: SocketAddr = target.parse().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, counts) = (listener.local_addr()?, Arc::<Counts>::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, weather, Rng::with_seed(seed), Arc::clone(&counts)));
        Ok(Self { address, counts, accepting })
    }

    /// For clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What it did so far, in words.
    #[must_use]
    pub fn did(&self) -> String {
        let Counts { connections, delays, splits, stalls, ends, resets } = &*self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} connections, {} delays, {} splits, {} stalls, {} ends, {} resets",
            count(connections),
            count(delays),
            count(splits),
            count(stalls),
            count(ends),
            count(resets)
        )
    }

    /// How many connections it cut, whichever way.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.counts.ends.load(Ordering::Relaxed) + self.counts.resets.load(Ordering::Relaxed)
    }

    /// Lets nobody in any more, and ends what is there.
    pub async fn stop(mut self) {
        self.accepting.shutdown().await;
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: Weather,
    mut rng: Rng,
    counts: Arc<Counts>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Without descriptors nobody is let in, which is a bad network too.
                let Ok((client, _)) = accepted else { continue };
                counts.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(client, target, weather, rng.fork(), Arc::clone(&counts)));
            }
            Some(ended) = connections.join_next() => ended.expect("a connection's task was not to panic"),
        }
    }
}

/// Both directions, until one ends or is cut; then both do.
async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    weather: Weather,
    mut rng: Rng,
    counts: Arc<Counts>,
) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // Small pieces are to arrive as such.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let reset = {
        // Borrowed halves: owned ones say goodbye when they are dropped, also before a reset.
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let (up, down) = (rng.fork(), rng.fork());
        tokio::select! {
            reset = pump(from_client, to_server, weather, up, &counts) => reset,
            reset = pump(from_server, to_client, weather, down, &counts) => reset,
        }
    };
    if reset {
        for socket in [&client, &server] {
            // A socket that cannot be told to is closed in the orderly way.
            socket.set_zero_linger().ok();
        }
    }
}

/// One direction; whether it ended in a reset.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    weather: Weather,
    mut rng: Rng,
    counts: &Counts,
) -> bool {
    let mut buffer = [0; 4096];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        let mut piece = &buffer[..count];
        let fate = weather.draw(&mut rng);
        let counted = match fate {
            Fate::Passes => None,
            Fate::Delayed => {
                sleep(Duration::from_millis(rng.u64(1..15))).await;
                Some(&counts.delays)
            }
            Fate::Stalled => {
                let most = u64::try_from(weather.stalls.1.as_millis()).unwrap_or(u64::MAX);
                sleep(Duration::from_millis(rng.u64(0..=most))).await;
                Some(&counts.stalls)
            }
            Fate::Split => {
                while piece.len() > 1 {
                    let (first, rest) = piece.split_at(rng.usize(1..piece.len().min(64)));
                    if to.write_all(first).await.is_err() {
                        return false;
                    }
                    piece = rest;
                    // A few at most, so that a large piece does not take for ever.
                    if rng.u32(0..20) == 0 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                Some(&counts.splits)
            }
            Fate::Cut { reset } => {
                piece = &piece[..rng.usize(0..piece.len())];
                Some(if reset { &counts.resets } else { &counts.ends })
            }
        };
        if let Some(counted) = counted {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        let written = to.write_all(piece).await;
        match fate {
            Fate::Cut { reset } => {
                if !reset {
                    // Too late is no different.
                    to.shutdown().await.ok();
                }
                return reset;
            }
            _ if written.is_err() => return false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that repeats what it hears.
    async fn echo() -> (String, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                clients.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    // Cut connections are what this is about.
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        (address, serving)
    }

    async fn through(proxy: &Proxy) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(proxy.address).await?;
        let said: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).collect();
        let (mut from, mut to) = stream.split();
        let mut heard = vec![0; said.len()];
        tokio::try_join!(to.write_all(&said), from.read_exact(&mut heard))?;
        assert_eq!(heard, said);
        Ok(heard)
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_were_said_through_delays_splits_and_stalls() {
        let (address, _serving) = echo().await;
        let bad = Weather { delays: 1_000, splits: 3_000, stalls: (100, Duration::from_millis(5)), cuts: 0 };
        let proxy = Proxy::start(&address, bad, 7).await.unwrap();
        for _ in 0..5 {
            through(&proxy).await.unwrap();
        }
        let did = proxy.did();
        assert!(
            !did.contains(" 0 delays") && !did.contains(" 0 splits") && !did.contains(" 0 stalls"),
            "{did}"
        );
        assert_eq!(proxy.cuts(), 0);
        proxy.stop().await;
    }

    #[tokio::test]
    async fn connections_are_cut_in_both_ways() {
        let (address, _serving) = echo().await;
        let proxy = Proxy::start(&address, Weather { cuts: 10_000, ..Weather::FAIR }, 7).await.unwrap();
        let mut ends = std::collections::BTreeSet::new();
        for _ in 0..20 {
            ends.insert(through(&proxy).await.unwrap_err().kind());
        }
        // A connection may end before its first piece was counted.
        let did = proxy.did();
        assert!(proxy.cuts() >= 15 && !did.contains(" 0 ends") && !did.contains(" 0 resets"), "{did}");
        assert!(ends.contains(&io::ErrorKind::ConnectionReset), "{ends:?}");
        proxy.stop().await;
    }
}
