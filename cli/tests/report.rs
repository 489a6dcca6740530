//! `plimsoll report`: one page of a run, however the run stands, which needs nothing but itself.

mod common;

use std::fmt::Write;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{RUN, Scratch, assert_has, page};

/// A folder as a run leaves it that has not ended, with these metrics.
fn folder(scratch: &Scratch, name: &str, metrics: &str) {
    fs::create_dir(scratch.path(name)).unwrap();
    scratch.write(&format!("{name}/config.toml"), &RUN.replace("text.txt", "../text.txt"));
    scratch.write(&format!("{name}/metrics.jsonl"), metrics);
}

fn line(step: u64, loss: &str) -> String {
    format!("{{\"step\":{step},\"loss\":{loss},\"learning_rate\":0.001,\"grad_norm\":0.5,\"tokens\":20}}\n")
}

#[test]
fn the_page_of_a_run_has_its_numbers_and_what_was_measured() {
    let scratch = Scratch::with_run();
    let run = RUN.replace("report_every = 2", "report_every = 2\nevaluate_every = 3");
    scratch.write("run.toml", &format!("{run}[checkpoint]\nevery = \"4 steps\"\n"));
    scratch.run("train run.toml --out a", 0);
    let metrics = scratch.read("a/metrics.jsonl");
    assert_has(&scratch.run("report a", 0), &["The report is in a/report.html"]);
    let page = page(&scratch, "a/report.html");
    assert_has(&page, &["<title>a - Plimsoll</title>", "ended</span>", "embedding 4 &gt; rnn 8 &gt; linear"]);
    let summary = scratch.json("a/summary.json");
    let bytes = summary["planned_bytes"].as_u64().unwrap();
    let grouped = format!("{},{:03} B", bytes / 1000, bytes % 1000);
    assert_has(&page, &[&grouped, "of 7", "batch 4 x window 5 in 2 micro-steps", summary["adapter"].as_str().unwrap()]);
    // Each step and each look is among what is told where one points.
    for text in metrics.lines() {
        let line: serde_json::Value = serde_json::from_str(text).unwrap();
        let (step, number) = (&line["step"], line.get("loss").or(line.get("validation_loss")).unwrap());
        let told = format!("{:.4}", number.as_f64().unwrap());
        assert!(page.contains(told.trim_end_matches('0')), "step {step}: {told}");
    }
    assert_has(&page, &["Loss: training from", "; validation from", "at step 7", "Learning rate", "Gradient norm"]);
    assert_has(&page, &["optimizer state", "lower bound", "The load line", "data-n=\"embedding.weight"]);
    assert_has(&page, &["A step of training is", "the median of", "linear matmul", ">kernel that takes longest<"]);
    assert_has(&page, &["It writes</h2>\n<pre>", "<td class=\"n\">7</td>", "<td class=\"n\">4</td>", "[checkpoint]"]);
    assert!(!page.contains("id=\"warnings\""), "nothing is amiss");
    assert_eq!(scratch.read("a/metrics.jsonl"), metrics, "nothing else is changed");

    let said = scratch.run("report a --no-measure --out b.html", 0);
    assert_has(&said, &["b.html"]);
    let page = scratch.read("b.html");
    assert_has(&page, &[&grouped, "as --no-measure asks"]);
    assert!(!page.contains("the median of") && !page.contains("It writes</h2>\n<pre>"), "nothing was measured");

    // Where there is no adapter, the page says so, and has the rest.
    let mut command = scratch.command("report a --out c.html");
    common::printed(command.env("WGPU_BACKEND", "gl").env("WGPU_ADAPTER_NAME", "no such adapter"), 0);
    assert_has(&scratch.read("c.html"), &["Nothing could be measured here: ", &grouped]);
}

#[test]
fn a_run_that_was_taken_up_has_each_step_once() {
    let scratch = Scratch::with_run();
    scratch.run("train run.toml --out a --steps 4", 0);
    scratch.run("train --resume a --steps 9", 0);
    scratch.run("report a --no-measure", 0);
    let page = page(&scratch, "a/report.html");
    assert_has(&page, &["<b>9</b><small>of 9</small>", "ended</span>"]);
    scratch.write("text.txt", &"another text, of the same letters or not\n".repeat(12));
    scratch.run("report a --no-measure --out b.html", 0);
    assert_has(&scratch.read("b.html"), &["not those that the run learnt from"]);
    assert!(!page.contains("id=\"warnings\""));
    for step in 1..=9 {
        // Loss, learning rate and norm are told of it, once each.
        assert_eq!(page.matches(&format!("\"step {step}\\n")).count(), 3, "step {step}");
    }
}

#[test]
fn no_name_or_text_of_a_run_becomes_markup() {
    let scratch = Scratch::with_run();
    scratch.write("run.toml", &RUN.replace("text.txt", "<b onx='1'>.txt"));
    scratch.write("<b onx='1'>.txt", &"<script>alert(2)</script></pre>&amp;\n".repeat(20));
    let folder = "a<i>&\"b\"";
    scratch.run(&format!("train run.toml --out {folder}"), 0);
    for (file, place) in [("summary.json", "/adapter"), ("plan.json", "/target/name")] {
        let file = format!("{folder}/{file}");
        let mut json = scratch.json(&file);
        *json.pointer_mut(place).unwrap() = "<script>alert(1)</script>".into();
        scratch.write(&file, &json.to_string());
    }
    scratch.run(&format!("report {folder}"), 0);
    let page = page(&scratch, &format!("{folder}/report.html"));
    assert_has(&page, &["a&lt;i&gt;&amp;&quot;b&quot;", "&lt;script&gt;alert(1)", "&lt;b onx=&#39;1&#39;&gt;.txt"]);
    for markup in ["<script>alert", "<b onx", "a<i>", "<i>&"] {
        assert!(!page.contains(markup), "{markup}");
    }
    // That of the page, and the numbers of three charts.
    assert_eq!(page.matches("<script").count(), 4);
    assert_eq!(page.matches("<pre>").count(), page.matches("</pre>").count());
}

#[test]
fn losses_that_are_no_numbers_and_torn_lines_are_told_and_drawn_around() {
    let scratch = Scratch::with_run();
    let metrics = line(1, "3.5") + &line(2, "null") + &line(3, "2.25") + "{\"step\":4,\"lo";
    folder(&scratch, "a", &metrics);
    scratch.run("report a --no-measure", 0);
    let page = page(&scratch, "a/report.html");
    assert_has(&page, &["cut off</span>", "1 step has a loss", "the first of them step 2", "1 line of metrics.jsonl"]);
    assert_has(&page, &["\"step 2\\ntraining not finite\"", "\"step 3\\ntraining 2.25\"", "class=\"line bad\""]);
    assert_has(&page, &["no plan.json", "There are none."]);
    for (name, metrics) in [("none", String::new()), ("one", line(1, "3.5")), ("bad", line(1, "null"))] {
        folder(&scratch, name, &metrics);
        scratch.run(&format!("report {name} --no-measure"), 0);
    }
    assert_has(&scratch.read("none/report.html"), &["No step has been reported yet."]);
    assert_has(&scratch.read("one/report.html"), &["\"step 1\\ntraining 3.5\"", "class=\"dots main\""]);
    assert_has(&scratch.read("bad/report.html"), &["No number is finite."]);
    // Data that are no longer there cost the plan's picture, and no more.
    fs::remove_file(scratch.path("text.txt")).unwrap();
    scratch.run("report one", 0);
    assert_has(&scratch.read("one/report.html"), &["cannot be read here", "training 3.5", "The plan cannot be drawn"]);
}

#[test]
fn a_run_under_way_is_reported_and_left_alone() {
    let scratch = Scratch::with_run();
    scratch.write("run.toml", &RUN.replace("steps = 7", "steps = 1000000"));
    let mut child =
        scratch.command("train run.toml --out a").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while fs::metadata(scratch.path("a/metrics.jsonl")).map_or(0, |about| about.len()) < 1000 {
        assert!(started.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    scratch.run("report a", 0);
    child.kill().unwrap();
    child.wait().unwrap();
    let page = page(&scratch, "a/report.html");
    assert_has(&page, &["under way</span>", "of 1,000,000", "the run is under way, and both would be slower"]);
    scratch.run("report a --no-measure", 0);
    assert_has(&scratch.read("a/report.html"), &["cut off</span>"]);
}

#[test]
fn a_million_steps_make_a_page_that_is_small_and_has_their_one_peak() {
    let scratch = Scratch::with_run();
    let mut metrics = String::new();
    for step in 1..=1_000_000u64 {
        let loss = if step == 765_432 { "77.25".to_string() } else { format!("1.{:03}", step * 37 % 1000) };
        metrics.push_str(&line(step, &loss));
    }
    folder(&scratch, "a", &metrics);
    scratch.run("report a --no-measure", 0);
    let page = page(&scratch, "a/report.html");
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    assert_has(&page, &["to 77.25", "<b>1,000,000</b>"]);
}

#[test]
fn what_is_no_run_is_one_error() {
    let scratch = Scratch::with_run();
    fs::create_dir(scratch.path("empty")).unwrap();
    for (folder, wanted) in [
        ("empty", "empty is not a run's folder"),
        ("none", "none is not a folder"),
        ("run.toml", "run.toml is not a folder"),
    ] {
        let said = scratch.run(&format!("report {folder}"), 2);
        assert_has(&said, &["error: there is no run to report on", wanted, "`plimsoll train --out DIR` makes one"]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(fs::read_dir(scratch.path("empty")).unwrap().next().is_none(), "nothing was written");
    folder(&scratch, "a", &line(1, "3.5"));
    assert_has(&scratch.run("report a --no-measure --out no/page.html", 5), &["no/page.html"]);
    let mut broken = RUN.to_string();
    let _ = writeln!(broken, "windov = 5");
    scratch.write("a/config.toml", &broken);
    assert_has(&scratch.run("report a", 2), &["a/config.toml", "did you mean `window`"]);
}
