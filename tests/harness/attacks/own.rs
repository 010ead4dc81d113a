//! Two machines of alice, and a hub that lies about what they tell each other.

use std::time::{Duration, Instant};

use chat_evil_hub::{Act, Switch, own};

use super::{Report, Stage, Verdict, screen};
use crate::program::Program;
use crate::types;

/// What was held back must be known on the other machine by then.
const SOON: Duration = Duration::from_secs(15);

/// What a person is told whose other machines do not know it.
const UNKNOWN: &str = "your other devices do not know what you have set";

/// What says on a machine that bob is hidden there.
const HIDDEN: &str = "what bob says is hidden";

/// Alice's desk and laptop, which have told each other something already, and bob.
struct Scene {
    stage: Stage,
    desk: Program,
    laptop: Program,
    bob: Program,
}

impl Scene {
    fn new(act: Act) -> Self {
        let stage = Stage::new(act);
        let bob = stage.person("bob");
        let [desk, laptop] = ["alice-desk", "alice-laptop"].map(|home| {
            let program = stage.client("alice").with_home(stage.rig.path(home)).chat();
            program.stdout.wait_for_part("you are in #lobby");
            program
        });
        let mut scene = Self { stage, desk, laptop, bob };
        scene.mute("nowhere");
        scene
    }

    /// The desk mutes a room, and the laptop hears of it.
    fn mute(&mut self, room: &str) {
        self.desk.type_line(&format!("/mute #{room}"));
        self.laptop.stdout.wait_for_part(&format!("#{room} is muted"));
    }

    /// Bob writes to alice, whose machines have it.
    fn writes(&mut self, text: &str) {
        types(&mut self.bob, &format!("alice*{text}"), "delivered to alice");
        // What comes behind it shows that it was dealt with.
        let mut carol = self.stage.person("carol");
        types(&mut carol, "alice*and I", "delivered to alice");
        for machine in [&self.desk, &self.laptop] {
            machine.stdout.wait_for_part("carol → you: and I");
        }
    }

    /// Whether the laptop hides what bob says in time. Only where it may not, a word on the desk that its user's other
    /// devices do not know what is set is as good.
    fn judge(mut self, may_be_told: bool) -> Report {
        if self.stage.switch.told() == 0 {
            return Report::new(Verdict::Failed, "the lie was never told");
        }
        let hides = |lines: &[String]| lines.iter().any(|line| line.contains(HIDDEN));
        let is_known = self.laptop.stdout.within(SOON, hides);
        self.writes("hidden?");
        let (desk, laptop) = (self.desk.stdout.text(), self.laptop.stdout.text());
        if is_known && !laptop.contains("hidden?") {
            let told = screen::words(&desk);
            let told = screen::quote("alice's desk", told.iter().map(String::as_str));
            let told = told.unwrap_or_else(|| "alice's desk: no word".to_owned());
            let saw = format!("alice's laptop: \"{HIDDEN}\", nothing of bob; {told}");
            return Report::new(Verdict::Refused, saw);
        }
        let shows = "alice's laptop shows bob, and nobody was told";
        let parts: &[&str] = if may_be_told { &[UNKNOWN] } else { &[] };
        Report::detected(&[("alice's desk", desk)], parts, shows)
    }
}

pub(super) fn refused_setting() -> Report {
    let mut scene = Scene::new(own::refused());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    scene.desk.stdout.within(SOON, |lines| lines.iter().any(|line| line.contains("server says")));
    scene.stage.switch.set(false);
    scene.mute("elsewhere");
    scene.judge(true)
}

/// What is said in so long must be no more than this, however often it is refused.
const STORM: Duration = Duration::from_secs(10);
const STORM_MAX: usize = 40;

pub(super) fn settings_storm() -> Report {
    let mut scene = Scene::new(own::refused_and_made_due());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    // What is measured is how much comes in a time.
    std::thread::sleep(STORM);
    let (said, desk) = (scene.stage.switch.told(), scene.desk.stdout.text());
    let lines = desk.lines().filter(|line| line.contains(UNKNOWN)).count();
    scene.stage.switch.set(false);
    let saw = format!("{said} messages in {} s; alice's desk: {lines} lines", STORM.as_secs());
    match (said, lines) {
        (0, _) => Report::new(Verdict::Failed, "the lie was never told"),
        (said, 1) if said <= STORM_MAX => Report::new(Verdict::Detected, saw),
        _ => Report::new(Verdict::Succeeded, saw),
    }
}

pub(super) fn lost_setting() -> Report {
    let mut scene = Scene::new(own::lost());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    scene.mute("elsewhere");
    scene.judge(false)
}

/// How often it is looked whether the gap has shown.
const LOOK: Duration = Duration::from_millis(10);

pub(super) fn lost_setting_cut() -> Report {
    let shown = Switch::default();
    let mut scene = Scene::new(own::lost_and_shown(shown.clone()));
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    scene.desk.type_line("/mute #elsewhere");
    let begun = Instant::now();
    while shown.told() == 0 && begun.elapsed() < SOON {
        std::thread::sleep(LOOK);
    }
    scene.laptop.stdout.wait_for_part("#elsewhere is muted");
    // Before it asks.
    scene.stage.proxy.cut_off("alice");
    scene.judge(false)
}

pub(super) fn old_setting() -> Report {
    let mut scene = Scene::new(own::late_again_and_to_others());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    types(&mut scene.desk, "/unignore bob", "what bob says is shown again");
    // Behind both: the laptop has dealt with them.
    scene.mute("elsewhere");
    scene.writes("loud");
    if scene.stage.switch.told() == 0 {
        return Report::new(Verdict::Failed, "the lie was never told");
    }
    let (laptop, bob) = (scene.laptop.stdout.text(), scene.bob.stdout.text());
    if !laptop.contains("bob → you: loud") {
        return Report::new(Verdict::Succeeded, "an old value hides bob on alice's laptop");
    }
    if let Some(read) = ["ignore", "hidden"].iter().find(|word| bob.contains(**word)) {
        return Report::new(
            Verdict::Succeeded,
            format!("bob reads \"{read}\" of alice's settings"),
        );
    }
    let words = screen::words(&laptop);
    match screen::quote("alice's laptop", words.iter().map(String::as_str)) {
        Some(told) => Report::new(Verdict::Detected, format!("bob is heard; {told}")),
        None => Report::new(Verdict::Refused, "alice's laptop: \"bob → you: loud\", nothing else"),
    }
}
