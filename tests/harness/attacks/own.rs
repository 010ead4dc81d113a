//! Two machines of alice, and a hub that lies about what they tell each other.

use std::time::Duration;

use chat_evil_hub::{Act, own};

use super::{Report, Stage, Verdict, screen};
use crate::program::Program;
use crate::types;

/// What was held back must be known on the other machine by then.
const SOON: Duration = Duration::from_secs(15);

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

    /// Whether the laptop hides what bob says, and what the desk's user was told.
    fn judge(mut self) -> Report {
        if self.stage.switch.told() == 0 {
            return Report::new(Verdict::Failed, "the lie was never told");
        }
        let hides = |lines: &[String]| lines.iter().any(|line| line.contains(HIDDEN));
        let is_known = self.laptop.stdout.within(SOON, hides);
        self.writes("hidden?");
        let (desk, laptop) = (self.desk.stdout.text(), self.laptop.stdout.text());
        let told = screen::words(&desk);
        let told = screen::quote("alice's desk", told.iter().map(String::as_str));
        match (laptop.contains("hidden?"), told) {
            (false, told) if is_known => {
                let told = told.unwrap_or_else(|| "alice's desk: no word".to_owned());
                let saw = format!("alice's laptop: \"{HIDDEN}\", nothing of bob; {told}");
                Report::new(Verdict::Refused, saw)
            }
            (_, Some(told)) => Report::new(Verdict::Detected, told),
            _ => Report::new(Verdict::Succeeded, "alice's laptop shows bob, and nobody was told"),
        }
    }
}

pub(super) fn refused_setting() -> Report {
    let mut scene = Scene::new(own::refused());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    scene.desk.stdout.within(SOON, |lines| lines.iter().any(|line| line.contains("server says")));
    scene.stage.switch.set(false);
    scene.mute("elsewhere");
    scene.judge()
}

pub(super) fn lost_setting() -> Report {
    let mut scene = Scene::new(own::lost());
    scene.stage.switch.set(true);
    types(&mut scene.desk, "/ignore bob", HIDDEN);
    scene.mute("elsewhere");
    scene.judge()
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
