//! What happens in the demo, in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carp_node::dissect::{Layer, LinkType, dissect};
use carp_node::lab::{Client, Frame, Gap, LabError, Request, Signal, Tap, wait_until};

use super::model::{Act, Setting, Span, Switch, Who, millis};
use super::report::{Outcome, Requests, Takeover};
use super::stage::{ASKS_EVERY, PRIMARY, SECONDARY, Stage, VIP};
use super::timers::Timers;
use super::watch::Watch;

/// How long each steady state is shown.
const STEADY: Duration = Duration::from_secs(2);

/// For how long around a switch-over what was under way may still come to its end.
const SETTLING: Duration = Duration::from_millis(100);

/// How much later than theory things may happen on a busy machine before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that was under way within this time of the death, or of the takeover, may be lost with
/// the dead machine.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// What the play is about, and how long its acts take if all goes as the timers say.
pub(super) fn setting(timers: Timers) -> Setting {
    let steady = timers.active_down(Who::Primary) + STEADY;
    let crash = timers.active_down(Who::Secondary) + STEADY;
    let failback = timers.failback() + STEADY;
    let planned_stop = SETTLING * 2 + STEADY / 2;
    Setting {
        protocol: timers.protocol(),
        interval: timers.interval(Who::Primary),
        asks_every: ASKS_EVERY,
        expected: [steady, crash, failback, planned_stop],
    }
}

/// Plays the script. Whoever looks at the watch sees what happens as it happens.
pub(super) fn play(stage: Stage, timers: Timers, watch: &Watch) -> Result<Outcome, LabError> {
    let mut show = Show { stage, timers, watch: watch.clone(), begin: Instant::now() };
    let tap = show.stage.switch.tap()?;
    let client = show.steady()?;
    let (takeover, crash_end) = show.crash(&client, &tap)?;
    std::thread::sleep(STEADY);
    let failback = show.failback(&client)?;
    std::thread::sleep(STEADY);
    let handover = show.planned_stop(&client, &tap)?;
    std::thread::sleep(STEADY / 2);

    watch.release_client();
    let in_use = || LabError::System {
        doing: "stop the client".into(),
        source: std::io::Error::other("somebody still watches it"),
    };
    let requests = Arc::into_inner(client).ok_or_else(in_use)?.stop();
    watch.complete(&requests);
    let excused = (takeover.death - UNDER_WAY)..(crash_end + UNDER_WAY);
    let requests = count(&requests, |request| excused.contains(&request.sent));
    Ok(Outcome { takeover, handover, failback, requests })
}

/// What became of the requests; those that failed and are not `excused` are lost for no good reason.
fn count(requests: &[Request], excused: impl Fn(&Request) -> bool) -> Requests {
    let lost = |request: &&Request| request.answered_by().is_none();
    let failed = requests.iter().filter(lost).count();
    Requests {
        sent: requests.len(),
        answered: requests.len() - failed,
        failed,
        repeated: requests.iter().filter(|request| request.repeated).count(),
        unexcused: requests.iter().filter(lost).filter(|request| !excused(request)).count(),
    }
}

/// Whether a frame is a resignation, in any protocol.
fn resigns(frame: &Frame) -> bool {
    let found = dissect(&frame.bytes, Layer::Link(LinkType::Ethernet), false);
    let standing = found.and_then(|found| found.message.standing());
    standing.is_some_and(carp_proto::election::Standing::is_resignation)
}

/// The stage, and somebody who tells what happens on it.
struct Show {
    stage: Stage,
    timers: Timers,
    watch: Watch,
    begin: Instant,
}

impl Show {
    /// The servers start, and the primary answers.
    fn steady(&mut self) -> Result<Arc<Client>, LabError> {
        self.watch.tell(format!(
            "primary {PRIMARY} and secondary {SECONDARY} share {VIP} by {}, adverts every {} ms",
            self.timers.protocol(),
            self.timers.interval(Who::Primary).as_millis()
        ));
        self.watch.doing("both servers start, and listen whether the address is in use");
        self.stage.primary.start(&self.watch)?;
        self.stage.secondary.start(&self.watch)?;
        self.wait_for_address(true, "the primary takes the address")?;
        let address: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
        let client = Arc::new(Client::start(&self.stage.client, address, ASKS_EVERY)?);
        self.watch.watch_client(&client);
        self.wait_for_answer(&client, Who::Primary, self.begin)?;
        self.watch.tell("steady: the primary answers");
        self.watch.doing("the primary has the address, answers, and says so in its adverts");
        std::thread::sleep(STEADY);
        Ok(client)
    }

    /// The primary's machine dies: its processes and its port at once.
    fn crash(&mut self, client: &Client, tap: &Tap) -> Result<(Takeover, Instant), LabError> {
        self.watch.act(
            Act::Crash,
            "the primary's machine has lost power; the secondary misses its adverts",
        );
        let death = self.stage.primary.host.power_off()?;
        self.watch.died(Who::Primary, death);
        self.watch.tell_of(death, "the primary's machine dies");
        let back = self.wait_for_answer(client, Who::Secondary, death)?;
        let takeover = self.takeover(client, tap, death, back);
        self.watch.tell(format!(
            "takeover: the secondary answers, {} ms after the death ({} ms are the timers')",
            back.saturating_duration_since(death).as_millis(),
            takeover.theory.as_millis()
        ));
        self.watch.doing("the secondary has taken the address over, and answers");
        let death = self.watch.at(death);
        let theory = Span { from: death, to: death + takeover.theory };
        self.switched(Act::Crash, takeover.outage, Some(theory));
        Ok((takeover, back))
    }

    /// What the wire and the client say of a takeover.
    fn takeover(&self, client: &Client, tap: &Tap, death: Instant, back: Instant) -> Takeover {
        let advert_of = |who: Who| {
            let ip: Option<IpAddr> = who.address().parse().ok();
            move |frame: &Frame| ip.is_some() && frame.advert_source() == ip
        };
        let (of_primary, of_secondary) = (advert_of(Who::Primary), advert_of(Who::Secondary));
        let last_advert = tap
            .frames()
            .iter()
            .filter(|frame| frame.at <= death)
            .filter(|frame| of_primary(frame))
            .map(|frame| frame.at)
            .max();
        let first_advert = tap.find(death, |frame| of_secondary(frame).then_some(frame.at));
        let outage = self.gap(client, death, back);
        let active_down = self.timers.active_down(Who::Secondary);
        let silent = last_advert.map_or(Duration::ZERO, |at| death.saturating_duration_since(at));
        Takeover {
            outage,
            detection: first_advert
                .map_or_else(|| outage.length(), |at| at.saturating_duration_since(death)),
            theory: active_down.saturating_sub(silent),
            death,
        }
    }

    /// The primary's machine boots, and preempts.
    fn failback(&mut self, client: &Client) -> Result<Gap, LabError> {
        self.watch.act(
            Act::Failback,
            "the primary's machine is back; it hears the secondary, outranks it, takes over",
        );
        self.stage.primary.host.boot()?;
        self.watch.booted(Who::Primary);
        self.stage.primary.start(&self.watch)?;
        let start = Instant::now();
        self.watch.tell("the primary's machine is back");
        self.wait_for_address(true, "the primary preempts")?;
        let answered = self.wait_for_answer(client, Who::Primary, start)?;
        let outage = self.settled_gap(client, start, answered);
        self.watch.tell(format!(
            "failback: the primary answers again; largest gap {}",
            millis(outage.length())
        ));
        self.watch.doing("the primary has the address again");
        self.switched(Act::Failback, outage, None);
        Ok(outage)
    }

    /// The primary's daemon is stopped as planned.
    fn planned_stop(&mut self, client: &Client, tap: &Tap) -> Result<Gap, LabError> {
        self.watch.act(
            Act::PlannedStop,
            "the primary is told to stop: it resigns, and serves until the secondary does",
        );
        let start = Instant::now();
        self.watch.tell("the primary's daemon is stopped as planned");
        if let Some(daemon) = &self.stage.primary.daemon {
            daemon.signal(Signal::TERM)?;
        }
        let answered = self.wait_for_answer(client, Who::Secondary, start)?;
        self.wait_for_address(false, "the primary gives the address back")?;
        let resigned = tap.find(start, |frame| resigns(frame).then_some(frame.at));
        if let Some(moment) = resigned {
            self.watch.resigned(Who::Primary, moment);
        }
        let outage = self.settled_gap(client, start, answered);
        self.watch.tell(format!(
            "handover: the secondary answers; largest gap {}",
            millis(outage.length())
        ));
        self.watch.doing("the primary has handed over, and its daemon has ended");
        self.switched(Act::PlannedStop, outage, None);
        Ok(outage)
    }

    fn switched(&self, act: Act, outage: Gap, theory: Option<Span>) {
        let outage = Span { from: self.watch.at(outage.from), to: self.watch.at(outage.to) };
        self.watch.switched(Switch { act, outage, theory });
    }

    fn wait_for_address(&self, expected: bool, what: &str) -> Result<(), LabError> {
        let ip: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
        let primary = &self.stage.primary;
        let mut ended = Ok(());
        wait_until(self.timers.active_down(Who::Secondary) + PATIENCE, what, || {
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
        server: Who,
        since: Instant,
    ) -> Result<Instant, LabError> {
        let mut answered = None;
        let what = format!("an answer from the {}", server.name());
        wait_until(self.timers.active_down(Who::Secondary) + PATIENCE, &what, || {
            answered = client.first_answer(since, server.name());
            answered.is_some()
        })?;
        Ok(answered.unwrap_or(since))
    }

    /// The largest gap around a switch-over, once what was under way has ended.
    fn settled_gap(&self, client: &Client, from: Instant, answered: Instant) -> Gap {
        std::thread::sleep(SETTLING);
        self.gap(client, from, answered + SETTLING)
    }

    fn gap(&self, client: &Client, from: Instant, to: Instant) -> Gap {
        let gap = carp_node::lab::largest_gap(&client.requests(), from, to);
        gap.unwrap_or(Gap { from, to: to.max(from) })
    }
}
