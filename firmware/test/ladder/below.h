int below(int n);
