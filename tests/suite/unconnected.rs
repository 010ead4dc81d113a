//! What is typed while there is no connection, and is no message.

use chat_tests::{Scene, types};

/// Goal: what only the server can answer is refused without it, and a script goes on; what goes out later says so to a
/// person. (The build before never answered `/users` and its like: a pipe waited for ever, and a person saw nothing.)
#[test]
fn what_only_the_server_answers_is_refused_without_it_and_a_pipe_goes_on() {
    let mut scene = Scene::empty();
    let mut pipe = scene.client("alice").chat();
    let mut chat = scene.client("bob").at_terminal_before(&[], "");
    chat.wait_for("connected to");
    scene.server.kill_hard();
    pipe.stdout.wait_for_part("offline");
    chat.wait_for("offline");
    let asked = ["/users", "/rooms", "/members", "/topic", "/retention"];
    for (count, line) in asked.iter().enumerate() {
        pipe.type_line(line);
        pipe.stdout.wait_for_count(count + 1, |line| line.contains("✗ there is no connection"));
        chat.types(line, "✗ there is no connection to the server; ask again when there is one");
    }
    types(&mut pipe, "/version", "protocol");
    chat.types("/join plans", "… queued");
    scene.server.restart(&scene.rig, &[]);
    chat.wait_for("you are in #plans");
    types(&mut pipe, "/rooms", "#lobby");
    pipe.finish().assert_code(1);
}
