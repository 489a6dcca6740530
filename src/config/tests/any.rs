//! Any run that a file can describe, floats of every magnitude included.

use std::path::PathBuf;

use super::super::section::LARGEST;
use super::super::*;

/// A fixed sequence of numbers that look random (splitmix64), and what is made of them.
pub(super) struct Any(pub(super) u64);

impl Any {
    fn pick(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = usize::try_from(self.pick(all.len() as u64)).expect("an index");
        all[at].clone()
    }

    fn word<T: Copy>(&mut self, words: &[(&str, T)]) -> T {
        self.of(words).1
    }

    fn flag(&mut self) -> bool {
        self.pick(2) == 0
    }

    fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| some(self))
    }

    fn count(&mut self) -> u32 {
        u32::try_from(1 + self.pick(LARGEST)).expect("31 bits")
    }

    fn steps(&mut self) -> u64 {
        1 + self.pick(u64::MAX)
    }

    fn positive(&mut self) -> f32 {
        f32::from_bits(u32::try_from(1 + self.pick(0x7f7f_ffff)).expect("31 bits"))
    }

    fn below_one(&mut self) -> f32 {
        f32::from_bits(u32::try_from(self.pick(0x3f80_0000)).expect("31 bits"))
    }

    fn finite(&mut self) -> f32 {
        if self.flag() { -self.positive() } else { self.positive() }
    }

    fn path(&mut self, end: &str) -> PathBuf {
        let name = self.of(&["a b", "C:\\x\\'\"y", "/ü\n\t\u{7f}\u{1}#", "'''\"\"\""]);
        format!("{name}{end}").into()
    }

    pub(super) fn config(&mut self) -> Config {
        let data = self.data();
        let (seed, train) = (self.pick(u64::MAX), self.train(&data));
        let layers = self.layers(&data, train.carry_state);
        let budget = BudgetConfig {
            memory: self.maybe(|any| Bytes((1 + any.pick(999)) << any.pick(50))),
            segment: self.maybe(Self::count),
            segment_states: None,
            recompute: self.maybe(Self::count).filter(|blocks| *blocks > 1),
            release_gradients: self.flag(),
            keep_copies: self.flag(),
            bargain: self.flag(),
        };
        let segment_states = self.maybe(Self::count).filter(|_| budget.segment.is_some());
        let budget = BudgetConfig { segment_states, ..budget };
        let every = self.of(&[Every::Never, Every::Steps(1), Every::Steps(u64::MAX), Every::Seconds(3600)]);
        let every = if self.flag() { every } else { Every::Seconds(self.steps()) };
        let checkpoint = CheckpointConfig { every, keep: self.count() };
        Config { seed, data, layers, train, checkpoint, budget }
    }

    fn data(&mut self) -> DataConfig {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (inputs, targets) = (columns(&["a", "b \" ü"]), columns(&["c"]));
        let target = self.word(TargetKind::WORDS);
        let source = match self.pick(5) {
            0 => {
                let unit = self.word(Unit::WORDS);
                let vocabulary = self.maybe(Self::count).filter(|_| unit == Unit::Word);
                Source::Text { text: self.maybe(|any| any.path(".txt")), unit, vocabulary }
            }
            1 => Source::Table { file: self.path(""), inputs, targets, target, standardise: self.flag() },
            2 => {
                let (horizon, predict) = (self.count(), self.word(Predict::WORDS));
                Source::Series { file: self.path(""), inputs, targets, horizon, predict, standardise: self.flag() }
            }
            3 => Source::Idx { folder: self.maybe(|any| any.path("")), rows_as_steps: self.flag() },
            _ => Source::Arrays {
                file: self.path(".npz"),
                inputs: "x \\".to_owned(),
                targets: "y".to_owned(),
                lengths: self.maybe(|_| "n".to_owned()),
                target,
                vocabulary: self.maybe(Self::count),
                predict: self.maybe(|any| any.word(Predict::WORDS)),
            },
        };
        let half = f64::from_bits(self.pick(0.5f64.to_bits()));
        let test = if matches!(source, Source::Idx { .. }) { 0.0 } else { f64::from_bits(self.pick(0.5f64.to_bits())) };
        let shuffle = self.flag() && !matches!(source, Source::Text { .. });
        let workers = u32::try_from(self.pick(257)).expect("a byte or so");
        DataConfig { source, validation: half + 1e-3, test: test.min(0.499), shuffle, workers }
    }

    fn layers(&mut self, data: &DataConfig, carry_state: bool) -> Vec<LayerConfig> {
        let mut layers: Vec<LayerConfig> = Vec::new();
        let mut kinds = self.kinds(carry_state);
        kinds.retain(|kind| !(kind.needs_time() && data.is_without_time()));
        kinds.retain(|kind| *kind != LayerKind::Last || !data.predicts_each_step());
        if data.reads_ids() {
            let (size, padding_idx) = (self.count(), self.maybe(|any| any.count() - 1));
            layers.push(LayerConfig::new("first", LayerKind::Embedding { size, padding_idx }));
        }
        for (i, mut kind) in kinds.into_iter().enumerate() {
            if let LayerKind::Linear { tied, .. } = &mut kind {
                *tied = self.maybe(|_| "first".to_owned()).filter(|_| data.reads_ids());
            }
            let before: Vec<_> = layers.iter().map(|layer| layer.name.clone()).collect();
            let needed = if matches!(kind, LayerKind::Add | LayerKind::Concat) { 2 } else { 0 };
            let inputs = if before.is_empty() { 0 } else { needed + self.pick(3) };
            if inputs < needed {
                continue;
            }
            let input = (0..inputs).map(|_| self.of(&before)).collect();
            let init = if kind.has_weights() { self.word(Init::WORDS) } else { Init::Default };
            layers.push(LayerConfig { name: format!("{i}.a_-Z"), kind, input, init });
        }
        layers
    }

    /// One of each kind but the embedding.
    fn kinds(&mut self, carry_state: bool) -> Vec<LayerKind> {
        let (hidden_size, layers, dropout, bias) = (self.count(), self.count(), self.below_one(), self.flag());
        let bidirectional = self.flag() && !carry_state;
        let nonlinearity = self.word(Nonlinearity::WORDS);
        let forget_bias = self.maybe(Self::finite).filter(|_| bias);
        let reset_after = self.flag();
        vec![
            LayerKind::Linear { out_features: self.maybe(Self::count), bias, tied: None },
            LayerKind::Rnn { hidden_size, layers, bidirectional, dropout, nonlinearity, bias },
            LayerKind::Gru { hidden_size, layers, bidirectional, dropout, bias, reset_after },
            LayerKind::Lstm { hidden_size, layers, bidirectional, dropout, bias, forget_bias },
            LayerKind::LayerNorm { eps: self.positive(), elementwise_affine: self.flag(), bias },
            LayerKind::Dropout { p: dropout },
            LayerKind::Tanh,
            LayerKind::Relu,
            LayerKind::Sigmoid,
            LayerKind::Silu,
            LayerKind::Gelu { approximate: self.word(Approximate::WORDS) },
            LayerKind::Softplus { beta: self.positive(), threshold: self.positive() },
            LayerKind::LeakyRelu { negative_slope: self.finite() },
            LayerKind::Add,
            LayerKind::Concat,
            LayerKind::Last,
        ]
    }

    fn train(&mut self, data: &DataConfig) -> TrainConfig {
        let has_window = !matches!(data.source, Source::Table { .. } | Source::Idx { .. });
        let may_carry = !data.is_without_time() && !data.shuffle;
        let (parts, length) = (self.count() % 999 + 1, self.steps());
        let optimizer = self.optimizer();
        let schedule = self.schedule(&optimizer);
        let is_plateau = matches!(schedule, ScheduleConfig::Plateau { .. });
        let group = |any: &mut Self| GroupConfig {
            parameters: vec!["*.bias".to_owned(), "a-1_*".to_owned()],
            weight_decay: Some(any.positive()),
            learning_rate: any.maybe(Self::positive),
        };
        let storage = self.word(StorageConfig::WORDS);
        let halves = storage == StorageConfig::F16;
        TrainConfig {
            storage,
            parameter_storage: if halves { self.word(StorageConfig::WORDS) } else { StorageConfig::F32 },
            loss_scale: self
                .maybe(Self::positive)
                .filter(|_| halves)
                .map_or(LossScaleConfig::Dynamic, LossScaleConfig::Static),
            non_finite: self.maybe(|any| any.word(NonFiniteConfig::WORDS)),
            batch: parts * 7,
            window: if has_window && self.flag() { Some(self.count()) } else { None },
            accumulate: parts,
            length: if self.flag() { Length::Steps(length) } else { Length::Epochs(length) },
            report_every: self.count(),
            evaluate_every: if is_plateau { Some(self.steps()) } else { self.maybe(Self::steps) },
            clip_norm: self.maybe(Self::positive),
            clip_value: self.maybe(Self::positive),
            carry_state: self.flag() && may_carry,
            loss: self.loss(data),
            optimizer,
            schedule,
            warmup: self.pick(u64::MAX),
            groups: (0..self.pick(3)).map(|_| group(self)).collect(),
        }
    }

    fn loss(&mut self, data: &DataConfig) -> LossConfig {
        let weights = vec![self.positive(), 0.0];
        let is_text = matches!(data.source, Source::Text { .. });
        match data.target() {
            TargetKind::Class => LossConfig::CrossEntropy {
                label_smoothing: self.below_one(),
                class_weights: self.maybe(|_| weights).filter(|_| !is_text),
            },
            TargetKind::Number => {
                let delta = self.positive();
                self.of(&[LossConfig::Mse, LossConfig::L1, LossConfig::Huber { delta }])
            }
            TargetKind::Bit => LossConfig::BceWithLogits,
        }
    }

    fn optimizer(&mut self) -> OptimizerConfig {
        let (learning_rate, eps, weight_decay) = (self.positive(), self.positive(), self.positive());
        let (betas, momentum) = ([self.below_one(), self.below_one()], self.below_one());
        let nesterov = self.flag() && momentum > 0.0;
        let dampening = if nesterov { 0.0 } else { self.below_one() };
        let (alpha, centered, initial_accumulator_value) = (self.below_one(), self.flag(), self.positive());
        self.of(&[
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, dampening, weight_decay },
            OptimizerConfig::Adam { learning_rate, betas, eps, weight_decay },
            OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay },
            OptimizerConfig::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay },
            OptimizerConfig::Adagrad { learning_rate, lr_decay: eps, eps, initial_accumulator_value, weight_decay },
        ])
    }

    fn schedule(&mut self, optimizer: &OptimizerConfig) -> ScheduleConfig {
        let (steps, factor, rate, gamma) =
            (self.maybe(Self::steps), self.below_one(), self.positive(), self.positive());
        let (every, patience, cooldown) = (self.steps(), self.pick(u64::MAX), self.pick(u64::MAX));
        let (flag, cycle_momentum) = (self.flag(), self.flag() && optimizer.has_momentum());
        let anneal = self.word(Anneal::WORDS);
        self.of(&[
            ScheduleConfig::Constant,
            ScheduleConfig::Linear { start_factor: 1.0 - factor / 2.0, end_factor: factor, steps },
            ScheduleConfig::Cosine { steps, eta_min: rate },
            ScheduleConfig::Step { step_size: every, gamma },
            ScheduleConfig::Exponential { gamma, every },
            ScheduleConfig::OneCycle {
                max_lr: rate,
                steps,
                pct_start: factor,
                div_factor: gamma,
                final_div_factor: rate,
                anneal,
                cycle_momentum,
                base_momentum: factor,
                max_momentum: factor,
                three_phase: flag,
            },
            ScheduleConfig::Plateau { factor, patience, threshold: gamma, cooldown, min_lr: rate },
        ])
    }
}
