//! What happens in the demo, in order.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::lab::{Client, Lab, LabError, Signal, Tap, wait_until};

use super::report::{Outage, Outcome, Requests, Takeover};
use super::stage::{PRIMARY, SECONDARY, Stage, Timers, VIP};

/// How often the client asks.
const ASKS_EVERY: Duration = Duration::from_millis(5);

/// How long each steady state is shown.
const STEADY: Duration = Duration::from_secs(2);

/// How much later than theory things may happen on a busy machine before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that was under way within this time of the death, or of the takeover, may be lost with
/// the dead machine.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// Plays the script. With `aloud`, tells what happens as it happens.
pub(super) fn play(inside: &Lab, timers: Timers, aloud: bool) -> Result<Outcome, LabError> {
    let mut show =
        Show { stage: Stage::build(inside, timers)?, timers, aloud, begin: Instant::now() };
    show.tell(&format!(
        "primary {PRIMARY} and secondary {SECONDARY} share {VIP} by CARP, adverts every {} ms",
        timers.interval().as_millis()
    ));
    let tap = show.stage.switch.tap()?;
    show.stage.primary.start()?;
    show.stage.secondary.start()?;
    show.wait_for_address(true, "the primary takes the address")?;
    let address: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
    let client = Client::start(&show.stage.client, address, ASKS_EVERY)?;
    show.wait_for_answer(&client, "primary", show.begin)?;
    show.tell("steady: the primary answers");
    std::thread::sleep(STEADY);

    let (takeover, crash_end) = show.crash(&client, &tap)?;
    std::thread::sleep(STEADY);
    let failback = show.failback(&client)?;
    std::thread::sleep(STEADY);
    let handover = show.planned_stop(&client)?;
    std::thread::sleep(STEADY / 2);

    let requests = client.stop();
    let lost = |request: &&carp_node::lab::Request| request.answered_by().is_none();
    let excused = (takeover.death - UNDER_WAY)..(crash_end + UNDER_WAY);
    let unexcused = requests.iter().filter(lost).filter(|r| !excused.contains(&r.sent)).count();
    let failed = requests.iter().filter(lost).count();
    let repeated = requests.iter().filter(|request| request.repeated).count();
    let requests = Requests {
        repeated,
        sent: requests.len(),
        answered: requests.len() - failed,
        failed,
        unexcused,
    };
    Ok(Outcome { takeover, handover, failback, requests })
}

/// The stage, and somebody who tells what happens on it.
struct Show {
    stage: Stage,
    timers: Timers,
    aloud: bool,
    begin: Instant,
}

impl Show {
    /// The primary's machine dies: its processes and its port at once.
    fn crash(&mut self, client: &Client, tap: &Tap) -> Result<(Takeover, Instant), LabError> {
        let death = self.stage.primary.host.power_off()?;
        self.tell("the primary's machine dies");
        let back = self.wait_for_answer(client, "secondary", death)?;
        let advert_of = |ip: &str| {
            let ip: Option<IpAddr> = ip.parse().ok();
            move |source: IpAddr| Some(source) == ip
        };
        let (of_primary, of_secondary) = (advert_of(PRIMARY), advert_of(SECONDARY));
        let last_advert = tap
            .frames()
            .iter()
            .filter(|frame| frame.at <= death)
            .filter(|frame| frame.carp().is_some_and(|(source, _)| of_primary(source)))
            .map(|frame| frame.at)
            .max();
        let first_advert = tap.find(death, |frame| {
            frame.carp().filter(|(source, _)| of_secondary(*source)).map(|_| frame.at)
        });
        let outage = self.gap(client, death, back);
        let active_down = self.timers.active_down();
        let silent = last_advert.map_or(Duration::ZERO, |at| death.saturating_duration_since(at));
        let takeover = Takeover {
            outage,
            detection: first_advert.map_or(outage, |at| at.saturating_duration_since(death)),
            theory: active_down.saturating_sub(silent),
            death,
        };
        self.tell(&format!(
            "takeover: the secondary answers, {} ms after the death ({} ms are the timers')",
            back.saturating_duration_since(death).as_millis(),
            takeover.theory.as_millis()
        ));
        Ok((takeover, back))
    }

    /// The primary's machine boots, and preempts.
    fn failback(&mut self, client: &Client) -> Result<Outage, LabError> {
        self.stage.primary.host.boot()?;
        self.stage.primary.start()?;
        let start = Instant::now();
        self.tell("the primary's machine is back");
        self.wait_for_address(true, "the primary preempts")?;
        let answered = self.wait_for_answer(client, "primary", start)?;
        let outage = self.settled_gap(client, start, answered);
        self.tell(&format!("failback: the primary answers again; largest gap {}", millis(outage)));
        Ok(Outage { outage })
    }

    /// The primary's daemon is stopped as planned.
    fn planned_stop(&mut self, client: &Client) -> Result<Outage, LabError> {
        let start = Instant::now();
        self.tell("the primary's daemon is stopped as planned");
        if let Some(daemon) = &self.stage.primary.daemon {
            daemon.signal(Signal::TERM)?;
        }
        let answered = self.wait_for_answer(client, "secondary", start)?;
        self.wait_for_address(false, "the primary gives the address back")?;
        let outage = self.settled_gap(client, start, answered);
        self.tell(&format!("handover: the secondary answers; largest gap {}", millis(outage)));
        Ok(Outage { outage })
    }

    fn wait_for_address(&self, expected: bool, what: &str) -> Result<(), LabError> {
        let ip: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
        let primary = &self.stage.primary;
        let mut ended = Ok(());
        wait_until(self.timers.active_down() + PATIENCE, what, || {
            if expected {
                ended = primary.expect_daemon(what);
            }
            ended.is_err() || primary.host.has_address(ip).is_ok_and(|has| has == expected)
        })?;
        ended
    }

    fn wait_for_answer(
        &self,
        client: &Client,
        server: &str,
        since: Instant,
    ) -> Result<Instant, LabError> {
        let mut answered = None;
        let what = format!("an answer from the {server}");
        wait_until(self.timers.active_down() + PATIENCE, &what, || {
            answered = client.first_answer(since, server);
            answered.is_some()
        })?;
        Ok(answered.unwrap_or(since))
    }

    /// The largest gap around a switch-over, once what was under way has ended.
    fn settled_gap(&self, client: &Client, from: Instant, answered: Instant) -> Duration {
        std::thread::sleep(ASKS_EVERY * 20);
        self.gap(client, from, answered + ASKS_EVERY * 20)
    }

    fn gap(&self, client: &Client, from: Instant, to: Instant) -> Duration {
        let gap = carp_node::lab::largest_gap(&client.requests(), from, to);
        gap.map_or_else(|| to.saturating_duration_since(from), carp_node::lab::Gap::length)
    }

    fn tell(&self, what: &str) {
        if self.aloud {
            let seconds = self.begin.elapsed().as_secs_f64();
            // Nobody may be watching any more; the result at the end is what counts.
            let _ = crate::output::print(&format!("{seconds:7.3} s  {what}\n"));
        }
    }
}

/// Milliseconds with a tenth.
fn millis(duration: Duration) -> String {
    format!("{}.{} ms", duration.as_millis(), duration.subsec_micros() / 100 % 10)
}
