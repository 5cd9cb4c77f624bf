exports.brokenSyntax = (req, res) => {
  res.send('x';
};
