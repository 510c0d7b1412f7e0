use std::ops::ControlFlow;
use std::time::Instant;
use burn::tensor::Device;
use riposte::attack::*;
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (name, attack, images, seed) = (&args[1], &args[2], args[3].parse::<usize>().unwrap(), args[4].parse::<u64>().unwrap());
    let (architecture, file) = match name.as_str() {
        "fast" => (Architecture::FastMnistCnn, "mnist_fast_adversarial_fgsm.pth"),
        "pgd" => (Architecture::FastMnistCnn, "mnist_fast_adversarial_pgd_madry.pth"),
        _ => (Architecture::TradesMnistCnn, "mnist_trades_smallcnn.pt"),
    };
    let shared = std::path::Path::new("/work/shared");
    let weights = riposte_cli::weights_file::read(&shared.join("weights").join(file)).unwrap();
    let device = if std::env::var_os("GPU").is_some() { Device::wgpu(burn::tensor::DeviceKind::DefaultDevice) } else { Device::flex() };
    let model = Model::from_weights(architecture, &weights, &device).unwrap();
    let read = |name: &str| std::fs::read(shared.join("data/mnist").join(name)).unwrap();
    let test = riposte::data::Dataset::new(
        riposte::data::idx::parse_images(&read("t10k-images-idx3-ubyte.gz")).unwrap(),
        riposte::data::idx::parse_labels(&read("t10k-labels-idx1-ubyte.gz")).unwrap(), 10).unwrap();
    let first: usize = std::env::var("FIRST").ok().map_or(0, |v| v.parse().unwrap());
    let batch: usize = std::env::var("BATCH").ok().map_or(250, |v| v.parse().unwrap());
    let cw_steps = std::env::var("STEPS").ok().map_or(1000, |v| v.parse().unwrap());
    let changing = Square { colors: Colors::Changing, ..Square::STANDARD };
    let attacks: Vec<Single> = match attack.as_str() {
        "apgd-ce" => vec![Single::Apgd(Apgd::STANDARD)],
        "apgd-t" => vec![Single::Apgd(Apgd::STANDARD_TARGETED)],
        "apgd-dlr" => vec![Single::Apgd(Apgd { loss: Loss::Dlr, ..Apgd::STANDARD })],
        "apgd-margin" => vec![Single::Apgd(Apgd { loss: Loss::Margin, ..Apgd::STANDARD })],
        "fab-t" => vec![Single::Fab(Fab::STANDARD)],
        "square" => vec![Single::Square(Square::STANDARD)],
        "square-changing" => vec![Single::Square(changing)],
        "square-relative" => vec![Single::Square(Square { schedule: Schedule::Relative, ..changing })],
        "deepfool-l2" => vec![Single::DeepFool(DeepFool::STANDARD)],
        "deepfool-linf" => vec![Single::DeepFool(DeepFool { norm: Norm::LInfinity, ..DeepFool::STANDARD })],
        "cw-l2" => vec![Single::Cw(Cw { steps: cw_steps, ..Cw::L2 })],
        "cw-linf" => vec![Single::Cw(Cw { steps: cw_steps, constant: 1e-1, ..Cw::L_INFINITY })],
        _ => Auto::STANDARD.parts().to_vec(),
    };
    let clock = Instant::now();
    let mut counts = vec![0; attacks.len() + 1];
    let mut distances: Vec<f32> = vec![];
    let (mut right, mut unconfirmed) = (String::new(), 0);
    for start in (first..first + images).step_by(batch) {
        let rows = start..(start + batch).min(first + images);
        let x = test.images().to_tensor(rows.clone(), &device);
        let labels: Vec<usize> = rows.clone().map(|i| test.label(i)).collect();
        let inputs: Vec<u64> = rows.map(|i| i as u64).collect();
        let outcome = pollster::block_on(campaign(&attacks, &model, x.clone(), &labels, Seed(seed), &inputs, async |_| ControlFlow::Continue(()))).unwrap();
        for (sum, count) in counts.iter_mut().zip(&outcome.counts) { *sum += count; }
        unconfirmed += outcome.unconfirmed;
        let norm = if attack.ends_with("l2") { Norm::L2 } else { Norm::LInfinity };
        let far = pollster::block_on(riposte::classifier::read(distance(norm, x, outcome.end.images))).unwrap();
        distances.extend(far.iter().zip(&outcome.right).filter(|(d, r)| !**r && **d > 0.0).map(|(d, _)| *d));
        right.extend(outcome.right.iter().map(|r| if *r { '1' } else { '0' }));
        if !outcome.flags.is_empty() { eprintln!("{:?}", outcome.flags); }
        eprintln!("{} {:?} {:.0} s", start + batch, counts, clock.elapsed().as_secs_f64());
    }
    distances.sort_by(f32::total_cmp);
    println!("{name} {attack} {images} seed {seed}: {counts:?} unconfirmed {unconfirmed} median {:?} successes {} {:.0} s", distances.get(distances.len() / 2), distances.len(), clock.elapsed().as_secs_f64());
    if std::env::var_os("FLAGS").is_some() { println!("{right}"); }
}
