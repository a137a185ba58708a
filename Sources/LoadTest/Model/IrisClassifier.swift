internal import Glibc

/// A classifier of irises by four lengths in centimetres: quadratic discriminant analysis with
/// independent features (Gaussian naive Bayes).
///
/// Means and variances per species are those of Fisher's data (1936), 50 flowers a species.
struct IrisClassifier: Sendable {
    /// The species in the order of their numbers.
    static let species = ["setosa", "versicolor", "virginica"]

    private struct Species {
        var means: [Double]
        var variances: [Double]
    }

    private static let model = [
        Species(means: [5.006, 3.428, 1.462, 0.246], variances: [0.1218, 0.1408, 0.0296, 0.0109]),
        Species(means: [5.936, 2.770, 4.260, 1.326], variances: [0.2611, 0.0965, 0.2164, 0.0383]),
        Species(means: [6.588, 2.974, 5.552, 2.026], variances: [0.3963, 0.1019, 0.2985, 0.0739]),
    ]

    /// How many numbers a flower has.
    static let featureCount = 4

    /// The number of the most likely species.
    ///
    /// - Parameter features: Sepal length and width, petal length and width, centimetres.
    /// - Returns: An index into ``species``.
    static func classify(_ features: [Double]) -> Int {
        let scores = self.model.map { species in
            var score = 0.0
            for (index, value) in features.enumerated() {
                let distance = value - species.means[index]
                let variance = species.variances[index]
                // Of the log of the normal density what differs between species.
                score -= distance * distance / (2 * variance) + log(variance) / 2
            }
            return score
        }
        var best = 0
        for index in scores.indices where scores[index] > scores[best] { best = index }
        return best
    }
}
